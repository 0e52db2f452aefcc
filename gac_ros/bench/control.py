"""How long a decision takes, against ways to make the same one that remember less.

Everything runs in turns in one process, with a batch of one and on one CPU thread (or a GPU), so
that the ratios hold on a busy machine too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_least, at_most
from gac_ros.bench.spread import Spread
from gac_ros.checkpoint import resolve_device
from gac_ros.model.config import ModelConfig
from gac_ros.model.decoding import ReferenceDecoder
from gac_ros.model.gac import GacModel
from gac_ros.normalization import Normalizer
from gac_ros.planning import Plan
from gac_ros.policy import Policy

POLICY = "policy"
REFERENCE = "PyTorch, step by step"
WINDOW = "recompute of the context window"
HISTORY_STEPS = (100, 300, 1000)
WANTED_MICROSECONDS = 150.0
WANTED_FLOORS = 3.0
WANTED_RATIO = 50.0
WANTED_RATIO_STEP = 300
WANTED_GROWTH = 1.1

_NEAR = 100  # decisions up to a step that stand for it
_WARM_UP = 20
_COPY_BYTES = 64 * 2**20


def history_name(step: int) -> str:
    """Name of the recompute of the whole history at a step."""
    return f"recompute of the whole history, step {step}"


def policy_name(step: int) -> str:
    """Name of the policy's decisions up to a step."""
    return f"{POLICY}, step {step}"


class DecisionTime(BaseModel):
    """Microseconds from an observation to its action.

    Attributes:
        name: how it was made.
        microseconds: over all rounds.
        ratio: to the policy's median of the same round, at the same step where there is one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    microseconds: Spread
    ratio: Spread


class DecisionReport(BaseModel):
    """What `measure_decisions` found.

    Attributes:
        times: of each way.
        weight_bytes: that the policy reads for a decision.
        copy_bytes_per_second: bytes read and written by a large copy.
        floor_microseconds: the weights' bytes at this rate.
        copies: between host and device in a decision; None on the CPU.
        device: name of the GPU; None on the CPU.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    times: list[DecisionTime]
    weight_bytes: int
    copy_bytes_per_second: float
    floor_microseconds: float
    copies: float | None = None
    device: str | None = None

    def goals(self) -> list[SpeedGoal]:
        """The decision's goals."""
        first, *_, last = HISTORY_STEPS
        growth = self.of(policy_name(last)).ratio.median / self.of(policy_name(first)).ratio.median
        bound = max(WANTED_MICROSECONDS, WANTED_FLOORS * self.floor_microseconds)
        return [
            at_most("decision, median µs", self.of(POLICY).microseconds.median, bound),
            at_most(f"decision at step {last} over step {first}", growth, WANTED_GROWTH),
            at_least(
                f"times faster than the whole history at step {WANTED_RATIO_STEP}",
                self.of(history_name(WANTED_RATIO_STEP)).ratio.median,
                WANTED_RATIO,
            ),
        ]

    def of(self, name: str) -> DecisionTime:
        """The time of one of the ways."""
        return next(entry for entry in self.times if entry.name == name)


def measure_decisions(
    config: ModelConfig,
    *,
    repeats: int,
    device: str = "cpu",
    on_round: Callable[[], None] = lambda: None,
) -> DecisionReport:
    """Time decisions of a model of the given sizes; its weights are random, as time knows none.

    Args:
        config: whose episodes should be as long as the largest of `HISTORY_STEPS`.
        repeats: rounds; in each, every way has its turn.
        device: where the model runs.
        on_round: told of every finished round.

    Raises:
        ConfigurationError: there is no such device.
    """
    place = resolve_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GacModel(config).to(place).eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(HISTORY_STEPS[-1], config.observation_size))
    z = rng.normal(size=(config.plan_tokens, config.plan_token_size)).astype(np.float32)
    normalizer = unit_normalizer(config)
    policies = {
        POLICY: Policy(model, normalizer),
        REFERENCE: Policy(model, normalizer, ReferenceDecoder(model.generator)),
    }
    again = Recompute(model, z, observations.astype(np.float32))
    recomputed = {
        WINDOW: again.window,
        **{history_name(n): again.history(n) for n in HISTORY_STEPS},
    }
    for policy in policies.values():
        policy.warm_up()
    for act in recomputed.values():
        _time_calls(act, 3)
    times: dict[str, list[float]] = {}
    ratios: dict[str, list[float]] = {}

    def note(name: str, seconds: Sequence[float], policy_median: float) -> None:
        times.setdefault(name, []).extend(1e6 * value for value in seconds)
        ratios.setdefault(name, []).append(float(np.median(seconds)) / policy_median)

    plan = Plan(z, z, "exploit", 0.0, 0.0)
    for _ in range(repeats):
        policy_seconds = _time_episode(policies[POLICY], plan, observations)
        median = float(np.median(policy_seconds))
        note(POLICY, policy_seconds, median)
        note(REFERENCE, _time_episode(policies[REFERENCE], plan, observations[:300]), median)
        note(WINDOW, _time_calls(again.window, 100), median)
        for step in HISTORY_STEPS:
            near = policy_seconds[step - _NEAR : step]
            note(policy_name(step), near, median)
            note(history_name(step), _time_calls(again.history(step), 20), float(np.median(near)))
        on_round()
    weight_bytes = touched_bytes(model)
    rate = copy_rate() if place.type == "cpu" else device_copy_rate(place)
    return DecisionReport(
        times=[
            DecisionTime(name=name, microseconds=Spread.of(values), ratio=Spread.of(ratios[name]))
            for name, values in times.items()
        ],
        weight_bytes=weight_bytes,
        copy_bytes_per_second=rate,
        floor_microseconds=1e6 * weight_bytes / rate,
        copies=None if place.type == "cpu" else _copies(policies[POLICY], plan, observations),
        device=None if place.type == "cpu" else torch.cuda.get_device_name(place),
    )


class Recompute:
    """The same weights without a memory: every decision runs over steps that came before."""

    def __init__(
        self, model: GacModel, z: NDArray[np.float32], observations: NDArray[np.float32]
    ) -> None:
        self._generator = model.generator
        self._device = next(model.parameters()).device
        self._z = torch.from_numpy(z)[None].to(self._device)
        self._observations = torch.from_numpy(observations)[None].to(self._device)
        self._actions = torch.zeros_like(self._observations[..., :1]).expand(
            -1, -1, model.config.action_size
        )
        self._reach = model.config.burn_in + 1

    def window(self) -> NDArray[np.float32]:
        """The last step's action (A,) from the steps that it depends on."""
        return self._last_action(HISTORY_STEPS[0] - self._reach, HISTORY_STEPS[0])

    def history(self, length: int) -> Callable[[], NDArray[np.float32]]:
        """The last step's action (A,) from the first `length` steps."""
        return lambda: self._last_action(0, length)

    def _last_action(self, first: int, end: int) -> NDArray[np.float32]:
        with torch.inference_mode():
            mean = self._generator(
                self._z,
                self._observations[:, first:end],
                self._actions[:, first:end],
                torch.arange(first, end, device=self._device)[None],
                torch.ones(1, end - first, dtype=torch.bool, device=self._device),
            )
        return mean[0, -1].cpu().numpy()


def _time_episode(policy: Policy, plan: Plan, observations: NDArray[np.float64]) -> list[float]:
    policy.follow(plan)
    for observation in observations[:_WARM_UP]:
        policy.act(observation)
    policy.follow(plan)
    seconds = []
    for observation in observations:
        begun = time.perf_counter()
        policy.act(observation)
        seconds.append(time.perf_counter() - begun)
    return seconds


def _time_calls(act: Callable[[], object], count: int) -> list[float]:
    seconds = []
    for _ in range(count):
        begun = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begun)
    return seconds


def unit_normalizer(config: ModelConfig) -> Normalizer:
    """A normaliser that changes nothing."""
    return Normalizer(
        observation_mean=np.zeros(config.observation_size),
        observation_std=np.ones(config.observation_size),
        action_center=np.zeros(config.action_size),
        action_half_range=np.ones(config.action_size),
        return_mean=0.0,
        return_std=1.0,
        return_max=1.0,
    )


def touched_bytes(model: GacModel) -> int:
    """Bytes of weights that a decision has to read, when what a plan decides is merged before.

    The generator's weights, but for the plan's projections and those around cross-attention: of
    these the plan leaves a key and a value, each of the model's width, for each head and token.
    """
    config = model.config
    merged = ("plan_key_value", "cross_query", "cross_out")
    plain = sum(
        parameter.nbytes
        for name, parameter in model.generator.named_parameters()
        if not any(part in name for part in merged)
    )
    plan = 2 * config.layers * config.heads * config.plan_tokens * config.width
    return plain + plan * np.dtype(np.float32).itemsize


def _copies(policy: Policy, plan: Plan, observations: NDArray[np.float64]) -> float:
    """Copies between host and device in a decision of a policy on a GPU."""
    policy.follow(plan)
    watched = observations[:_NEAR]
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for observation in watched:
            policy.act(observation)
    return count_copies(event.name for event in profile.events() or []) / len(watched)


def count_copies(events: Iterable[str]) -> int:
    """How many of a profile's events, by their names, are copies between host and device."""
    return sum(name.startswith(("Memcpy HtoD", "Memcpy DtoH")) for name in events)


def device_copy_rate(device: torch.device, repeats: int = 10) -> float:
    """As `copy_rate`, in a GPU's own memory."""
    source = torch.ones(_COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.zeros_like(source)

    def copy() -> None:
        target.copy_(source)
        torch.cuda.synchronize(device)

    return 2 * _COPY_BYTES / min(_time_calls(copy, repeats))


def copy_rate(repeats: int = 10) -> float:
    """Bytes read and written a second by the quickest of some copies larger than the caches."""
    source, target = np.ones(_COPY_BYTES, dtype=np.uint8), np.zeros(_COPY_BYTES, dtype=np.uint8)
    return 2 * _COPY_BYTES / min(_time_calls(lambda: np.copyto(target, source), repeats))
