"""The section on the speed of training says what its file says, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gac_ros.bench.goals import write_measurement
from gac_ros.bench.spread import Spread
from gac_ros.bench.training import LPT, OURS, MemoryUse, ProfileRow, RobotSpeed, StepSpeed
from gac_ros.bench.training_page import training_section
from gac_ros.errors import EpisodeError


def step(name: str, seconds: float) -> StepSpeed:
    return StepSpeed(
        name=name,
        seconds=Spread.of([seconds]),
        processor_seconds=Spread.of([seconds]),
        steps_per_second=Spread.of([1.0 / seconds]),
        episodes_per_second=Spread.of([32.0 / seconds]),
    )


def figures() -> dict[str, Any]:
    robot = RobotSpeed(
        robot="hopper",
        episode_steps=(512.0, 1000),
        batch_episodes=32,
        steps=[step(OURS, 0.05), step(LPT, 1.25)],
        ratios={LPT: Spread.of([24.0, 25.0, 27.0])},
        profile=[ProfileRow(name="aten::addmm", milliseconds=12.5, share=0.25, calls=40.0)],
    )
    memory = MemoryUse(iterations=1000, mebibytes=[300.0, 301.0], growth_percent=0.3)
    goals = [robot.goal(), memory.goal()]
    return {"goals": goals, "robots": [robot.model_dump()], "memory": memory.model_dump()}


def write(path: Path, content: dict[str, Any]) -> None:
    goals = content.pop("goals")
    write_measurement(path, goals, {"threads": 1, **content})


def test_ratios_goals_profile_and_memory_are_shown(tmp_path: Path) -> None:
    write(tmp_path / "training.json", figures())
    page = "\n".join(training_section(tmp_path / "training.json"))
    assert "| 25 (24 to 27) |" in " ".join(page.split())
    assert "| hopper: episodes per CPU second against LPT's step | 25 | at least 20 | yes |" in (
        " ".join(page.split())
    )
    assert "aten::addmm" in page
    assert "300 MiB at first, 301 MiB at last" in page
    assert "The rounds are few (1)" in page
    assert "bfloat16" not in page


def test_other_ways_to_run_the_step_are_explained_where_they_were_measured(tmp_path: Path) -> None:
    content = figures()
    (robot,) = content["robots"]
    name = f"{OURS}, compiled"
    robot["steps"].insert(1, step(name, 0.04).model_dump())
    robot["ratios"][name] = Spread.of([0.8]).model_dump()
    write(tmp_path / "training.json", content | {"device": "cuda:0"})
    page = " ".join("\n".join(training_section(tmp_path / "training.json")).split())
    assert "the step with `bfloat16: true` and `compile: true`" in page
    assert "| hopper | this package, compiled | 512 |" in page
    assert "cuda:0." in page


def test_without_a_file_there_is_no_section(tmp_path: Path) -> None:
    assert list(training_section(tmp_path / "training.json")) == []


def test_a_file_without_its_figures_is_named(tmp_path: Path) -> None:
    content = figures()
    del content["memory"]
    write(tmp_path / "training.json", content)
    with pytest.raises(EpisodeError, match=r"training\.json: cannot be read .*'memory'"):
        list(training_section(tmp_path / "training.json"))
