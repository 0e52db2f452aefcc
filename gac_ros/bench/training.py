"""How fast the trainer is, against a straightforward implementation of LPT's training step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch.profiler import ProfilerActivity, profile

from gac_ros.bench.goals import SpeedGoal, at_least, at_most
from gac_ros.bench.lpt_training import LptTrainer
from gac_ros.bench.spread import Spread
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.episode import Episode
from gac_ros.training.config import TrainingConfig
from gac_ros.training.trainer import Trainer

OURS = "this package"
# Other ways to run its step, and the settings that switch them on.
WAYS = {
    "bfloat16": {"bfloat16": True},
    "compiled": {"compile": True},
    "compiled_bfloat16": {"bfloat16": True, "compile": True},
}
LPT = "LPT's step, states only"
LPT_INTERLEAVED = "LPT's step, states and actions"
WANTED_RATIO = 20.0
WANTED_GROWTH = 1.0  # percent

CPU = torch.device("cpu")

_EPISODES = 64
_FALLING = ("hopper", "walker2d")  # their episodes end early
_SHORTEST = 0.1  # of the full length
# LPT's own layout is left out beyond this: the attention matrices of a batch of 2,000 tokens each
# take more memory than many machines have.
_MOST_TOKENS = 1024
_ROUND_SECONDS = 1.0
_WARM_UP = 3
_PROFILE_ROWS = 10
_MEMORY_SAMPLES = 40


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StepSpeed(_Frozen):
    """Speed of one training step.

    Attributes:
        name: whose step.
        seconds: wall-clock time of a gradient step.
        processor_seconds: processor time of a gradient step, which other programs disturb less.
        steps_per_second: gradient steps, by wall-clock time.
        episodes_per_second: episodes of their batches.
    """

    name: str
    seconds: Spread
    processor_seconds: Spread
    steps_per_second: Spread
    episodes_per_second: Spread


class ProfileRow(_Frozen):
    """Own time of an operation, without those it calls.

    Attributes:
        name: PyTorch's, or what is left.
        milliseconds: an iteration.
        share: of the iteration, 0 to 1.
        calls: an iteration.
    """

    name: str
    milliseconds: float
    share: float
    calls: float


class RobotSpeed(_Frozen):
    """Everything measured with one robot's episodes.

    Attributes:
        robot: which.
        episode_steps: mean and largest length of the episodes.
        batch_episodes: B.
        steps: each implementation; this package's is the first.
        ratios: processor time of an episode (wall-clock time where the CPU is not the device)
            against this package's, by the other's name, in rounds side by side. On one thread and
            an idle machine that is the ratio of episodes a second; on a busy one it stays so, while
            the wall clock tells who had the processor.
        profile: where this package's iteration spends its time.
    """

    robot: str
    episode_steps: tuple[float, int]
    batch_episodes: int
    steps: list[StepSpeed]
    ratios: dict[str, Spread]
    profile: list[ProfileRow]

    def goal(self) -> SpeedGoal:
        """Against the cheaper layout of LPT's step."""
        value = self.ratios[LPT].median
        return at_least(
            f"{self.robot}: episodes per CPU second against LPT's step", value, WANTED_RATIO
        )


class MemoryUse(_Frozen):
    """Resident memory over a long training.

    Attributes:
        iterations: how many.
        mebibytes: at even distances.
        growth_percent: from the second quarter's median to the last quarter's.
    """

    iterations: int
    mebibytes: list[float]
    growth_percent: float

    def goal(self) -> SpeedGoal:
        """Flat."""
        name = f"growth of memory over {self.iterations} iterations, %"
        return at_most(name, self.growth_percent, WANTED_GROWTH)


def sized_episodes(robot: str, *, seed: int = 0) -> tuple[Embodiment, EpisodeBuffer]:
    """Episodes of random numbers with a robot's sizes: speed depends on the shapes alone.

    Robots that fall have lengths from a tenth of the full one upwards, the others the full one.
    """
    embodiment = find_embodiment(robot)
    rng = np.random.default_rng(seed)
    full = embodiment.episode_length
    varied = embodiment.name in _FALLING
    episodes = []
    for _ in range(_EPISODES):
        steps = int(rng.integers(int(_SHORTEST * full), full + 1)) if varied else full
        size = (steps, embodiment.action_size)
        episodes.append(
            Episode(
                observations=rng.normal(size=(steps + 1, embodiment.observation_size)),
                actions=rng.uniform(embodiment.action_low, embodiment.action_high, size=size),
                rewards=np.zeros(steps),
                valid=np.ones(steps, dtype=bool),
                terminated=steps < full,
                truncated=steps == full,
                episode_return=float(rng.normal()),
            )
        )
    return embodiment, EpisodeBuffer(episodes, [f"{index:04d}" for index in range(_EPISODES)])


def measure_robot(
    embodiment: Embodiment,
    buffer: EpisodeBuffer,
    config: TrainingConfig,
    *,
    repeats: int,
    ways: Sequence[str] = (),
    device: torch.device = CPU,
    profiled: int = 20,
    on_round: Callable[[], None] = lambda: None,
) -> RobotSpeed:
    """Time this package's step and LPT's in turns, so that other load meets all alike.

    Args:
        embodiment: the robot.
        buffer: its episodes.
        config: of the training; LPT's step takes the model's sizes and the batch from it.
        repeats: rounds; in each, every implementation runs for a second or one step.
        ways: of `WAYS`, measured as well; they compile before the first round.
        device: where all of them run.
        profiled: steps to say where the time goes.
        on_round: told of every finished round.
    """
    trainer = Trainer(buffer, embodiment, config, seed=0, device=device)
    steps = {OURS: trainer.step, **_other_steps(embodiment, buffer, config, ways, device)}
    for name, step in steps.items():
        for _ in range(_WARM_UP if name.startswith(OURS) else 0):
            step()
    wall: dict[str, list[float]] = {name: [] for name in steps}
    processor: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            seconds, processor_seconds = _time(step)
            wall[name].append(seconds)
            processor[name].append(processor_seconds)
        on_round()
    batch = min(config.batch_episodes, len(buffer))
    # While another device computes, the processor's time says little.
    compared = processor if device.type == "cpu" else wall
    speeds = [
        StepSpeed(
            name=name,
            seconds=Spread.of(wall[name]),
            processor_seconds=Spread.of(processor[name]),
            steps_per_second=Spread.of(1.0 / np.array(wall[name])),
            episodes_per_second=Spread.of(batch / np.array(wall[name])),
        )
        for name in steps
    ]
    return RobotSpeed(
        robot=embodiment.name,
        episode_steps=(float(buffer.lengths.mean()), int(buffer.lengths.max())),
        batch_episodes=batch,
        steps=speeds,
        ratios={
            name: Spread.of(np.array(compared[name]) / np.array(compared[OURS]))
            for name in steps
            if name != OURS
        },
        profile=profile_steps(trainer.step, profiled),
    )


def _other_steps(
    embodiment: Embodiment,
    buffer: EpisodeBuffer,
    config: TrainingConfig,
    ways: Sequence[str],
    device: torch.device,
) -> dict[str, Callable[[], object]]:
    """This package's step in other ways, and LPT's, by name."""
    steps: dict[str, Callable[[], object]] = {}
    for way in ways:
        changed = config.model_copy(update=WAYS[way])
        other = Trainer(buffer, embodiment, changed, seed=0, device=device)
        steps[f"{OURS}, {way.replace('_', ' ')}"] = other.step
    for name, action_tokens in ((LPT, False), (LPT_INTERLEAVED, True)):
        if not action_tokens or 2 * int(buffer.lengths.max()) <= _MOST_TOKENS:
            lpt = LptTrainer(
                buffer, embodiment, config, seed=0, action_tokens=action_tokens, device=device
            )
            steps[name] = lpt.step
    return steps


def _time(step: Callable[[], object]) -> tuple[float, float]:
    """Mean wall-clock and processor seconds of a step, over a second or one step."""
    count, wall, processor = 0, time.perf_counter(), time.process_time()
    while count == 0 or time.perf_counter() - wall < _ROUND_SECONDS:
        step()
        count += 1
    return (time.perf_counter() - wall) / count, (time.process_time() - processor) / count


def profile_steps(step: Callable[[], object], count: int) -> list[ProfileRow]:
    """Where `count` steps spend their time: the largest operations, what is left, the rest."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        begun = time.perf_counter()
        for _ in range(count):
            step()
        whole = time.perf_counter() - begun
    events = sorted(
        profiler.key_averages(), key=lambda event: event.self_cpu_time_total, reverse=True
    )

    def row(name: str, microseconds: float, calls: float) -> ProfileRow:
        return ProfileRow(
            name=name,
            milliseconds=microseconds / 1e3 / count,
            share=microseconds / 1e6 / whole,
            calls=calls / count,
        )

    rest = events[_PROFILE_ROWS:]
    inside = sum(event.self_cpu_time_total for event in events)
    return [
        *(
            row(event.key, event.self_cpu_time_total, event.count)
            for event in events[:_PROFILE_ROWS]
        ),
        row(
            "other PyTorch operations",
            sum(event.self_cpu_time_total for event in rest),
            sum(event.count for event in rest),
        ),
        row("outside of PyTorch (windows, Python)", max(0.0, 1e6 * whole - inside), 1),
    ]


def measure_memory(
    embodiment: Embodiment,
    buffer: EpisodeBuffer,
    config: TrainingConfig,
    *,
    iterations: int,
    device: torch.device = CPU,
    on_step: Callable[[], None] = lambda: None,
) -> MemoryUse:
    """Resident memory of this process while it trains."""
    trainer = Trainer(buffer, embodiment, config, seed=0, device=device)
    every = max(1, iterations // _MEMORY_SAMPLES)
    samples = []
    for iteration in range(1, iterations + 1):
        trainer.step()
        if iteration % every == 0:
            samples.append(resident_mebibytes())
        on_step()
    quarter = max(1, len(samples) // 4)
    early, late = (
        np.median(samples[quarter : 2 * quarter] or samples),
        np.median(samples[-quarter:]),
    )
    return MemoryUse(
        iterations=iterations,
        mebibytes=samples,
        growth_percent=float(100.0 * (late - early) / early),
    )


def resident_mebibytes() -> float:
    """Memory of this process that is in RAM, in MiB (Linux)."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
