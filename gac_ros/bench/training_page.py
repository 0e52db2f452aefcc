"""The section on the speed of training, from the file of `gac bench training`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from gac_ros.bench.control_tables import goal_table
from gac_ros.bench.goals import SpeedGoal, damaged_measurement, measurement_origin, read_measurement
from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.spread import Spread
from gac_ros.bench.training import OURS, MemoryUse, RobotSpeed

_HEAD = """\
## Training at speed

Measured by `gac bench training`: a gradient step of this package against a straightforward
implementation of LPT's (arXiv 2402.04647: whole padded trajectories, three Langevin passes and one
for the weights) with the same layers and sizes, in turns within one run, median and spread over the
rounds. The ratio is of processor time an episode. The rounds are few ({rounds}), and the episodes
are random numbers of a robot's sizes and lengths (a robot that falls: from a tenth of the full
length upwards): a step takes as long whatever they say.
"""
_WAYS = """\
By default the training step runs in single precision and is not compiled. "bfloat16" and
"compiled" are the step with `bfloat16: true` and `compile: true` (`torch.compile`, which takes a
minute or more before the first step, not counted here); a ratio below 1 means that it takes less
time than the default. They are meant for a GPU (`gac bench training --device cuda`).
"""


def training_section(path: Path) -> Iterator[str]:
    """Lines of the section; none without a file.

    Raises:
        EpisodeError: the file is damaged.
    """
    if not path.is_file():
        return
    content = read_measurement(path)
    try:
        goals = [SpeedGoal.model_validate(goal) for goal in content["goals"]]
        robots = [RobotSpeed.model_validate(robot) for robot in content["robots"]]
        memory = MemoryUse.model_validate(content["memory"])
        threads = content["threads"]
    except (KeyError, ValidationError) as error:
        raise damaged_measurement(path, error) from error
    rounds = robots[0].steps[0].seconds.count
    yield from _HEAD.format(rounds=rounds).splitlines()
    yield ""
    if any(step.name.startswith(f"{OURS}, ") for robot in robots for step in robot.steps):
        yield from _WAYS.splitlines()
        yield ""
    device = content.get("device", "cpu")
    where = f"{threads} thread{'s' if threads > 1 else ''}" if device == "cpu" else device
    yield f"{measurement_origin(path, content)} {where}."
    yield ""
    table = goal_table(goals)
    yield from markdown_table(table.columns, table.rows)
    yield from _speeds(robots)
    yield from _profile(robots[0])
    yield (
        f"Resident memory over {memory.iterations} iterations: {memory.mebibytes[0]:.0f} MiB at "
        f"first, {memory.mebibytes[-1]:.0f} MiB at last."
    )
    yield ""


def _speeds(robots: list[RobotSpeed]) -> Iterator[str]:
    rows = []
    for robot in robots:
        for step in robot.steps:
            ratio = robot.ratios.get(step.name)
            rows.append(
                [
                    robot.robot,
                    step.name,
                    f"{robot.episode_steps[0]:.0f}",
                    _spread(step.steps_per_second),
                    _spread(step.episodes_per_second),
                    "" if ratio is None else _spread(ratio),
                ]
            )
    columns = ("robot", "step", "steps an episode", "gradient steps/s", "episodes/s")
    yield from markdown_table((*columns, "this package is faster by"), rows)


def _profile(robot: RobotSpeed) -> Iterator[str]:
    yield f"Where an iteration on {robot.robot} spends its time:"
    yield ""
    yield from markdown_table(
        ("operation", "ms", "%", "calls"),
        [
            [row.name, f"{row.milliseconds:.2f}", f"{100.0 * row.share:.0f}", f"{row.calls:.0f}"]
            for row in robot.profile
        ],
    )


def _spread(spread: Spread) -> str:
    return f"{spread.median:.3g} ({spread.low:.3g} to {spread.high:.3g})"
