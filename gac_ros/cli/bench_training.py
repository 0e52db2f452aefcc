"""`gac bench training`."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.bench_output import JsonFile, conclude, print_table
from gac_ros.cli.display import counted_progress

if TYPE_CHECKING:
    from gac_ros.bench.spread import Spread
    from gac_ros.bench.training import RobotSpeed

Robots = Annotated[
    list[str], typer.Option("--robot", help="Whose episode sizes; may be given several times.")
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="Training settings (*.yaml).")]
Repeats = Annotated[
    int, typer.Option("--repeats", min=1, help="Rounds in which each step has its turn.")
]
MemoryIterations = Annotated[
    int, typer.Option("--memory-iterations", min=8, help="Length of the run for the memory.")
]


class Way(str, Enum):
    """Other ways to run this package's step."""

    BFLOAT16 = "bfloat16"
    COMPILED = "compiled"
    BOTH = "compiled_bfloat16"


Also = Annotated[
    list[Way] | None,
    typer.Option(
        "--also",
        help="A way to run this package's step that is measured as well; may be given several "
        "times. Compiling takes a minute or more for each robot.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Threads = Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")]


def training(
    robots: Robots = ["pointmaze_umaze", "hopper"],  # noqa: B006 (typer reads it, nobody changes it)
    config: ConfigFile = None,
    repeats: Repeats = 5,
    memory_iterations: MemoryIterations = 1000,
    also: Also = None,
    threads: Threads = 1,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Measure training: episodes a second against LPT's step, where time goes, and memory.

    LPT's step (arXiv 2402.04647) runs over whole padded trajectories, three Langevin passes and a
    pass for the weights, with the same layers and sizes. The episodes are random numbers with the
    robots' sizes. Takes some minutes, nearly all of them for LPT's step.

    Example: `gac bench training --json training-speed.json`
    """
    import torch

    from gac_ros.bench.training import measure_memory, measure_robot, sized_episodes
    from gac_ros.checkpoint import resolve_device
    from gac_ros.training.config import TrainingConfig, load_training_config

    torch.set_num_threads(threads)
    settings = TrainingConfig() if config is None else load_training_config(config)
    where = resolve_device(device)
    data = [sized_episodes(robot) for robot in robots]
    # First, before LPT's matrices have come and gone.
    with counted_progress(memory_iterations, "memory, iterations") as advance:
        memory = measure_memory(
            *data[0], settings, iterations=memory_iterations, device=where, on_step=advance
        )
    speeds = []
    for embodiment, buffer in data:
        with counted_progress(repeats, f"{embodiment.name}, rounds") as advance:
            speeds.append(
                measure_robot(
                    embodiment,
                    buffer,
                    settings,
                    repeats=repeats,
                    ways=[way.value for way in also or ()],
                    device=where,
                    on_round=advance,
                )
            )
    for speed in speeds:
        _print_speed(speed)
    _print_profile(speeds[0])
    goals = [*(speed.goal() for speed in speeds), memory.goal()]
    figures = {
        "threads": threads,
        "device": str(where),
        "config": settings.model_dump(),
        "robots": [speed.model_dump() for speed in speeds],
        "memory": memory.model_dump(),
    }
    conclude(goals, figures, json_file)


def _print_speed(speed: RobotSpeed) -> None:
    mean, longest = speed.episode_steps
    rows = []
    for step in speed.steps:
        ratio = speed.ratios.get(step.name)
        rows.append(
            (
                step.name,
                _spread(step.steps_per_second),
                _spread(step.episodes_per_second),
                f"{1e3 * step.processor_seconds.median:.1f}",
                "" if ratio is None else _spread(ratio),
            )
        )
    print_table(
        f"{speed.robot}: episodes of {mean:.0f} steps on average, {longest} at most; "
        f"{speed.batch_episodes} a batch; median (lowest to highest of the rounds)",
        ("step", "gradient steps/s", "episodes/s", "CPU ms a step", "times ours"),
        rows,
    )


def _spread(spread: Spread) -> str:
    return f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g})"


def _print_profile(speed: RobotSpeed) -> None:
    print_table(
        f"{speed.robot}: where an iteration of this package spends its time (own time)",
        ("operation", "ms", "share", "calls"),
        [
            (r.name, f"{r.milliseconds:.2f}", f"{100.0 * r.share:.1f} %", f"{r.calls:.0f}")
            for r in speed.profile
        ],
    )
