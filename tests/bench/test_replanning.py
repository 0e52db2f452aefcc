"""The comparison of rules for planning again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gac_ros.bench import replanning
from gac_ros.bench.replanning import Case, Cell, compare, default_cases, run_cells
from gac_ros.errors import ConfigurationError
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.sim.disturbance import Disturbance

CONFIG = ReplanningConfig(period=100, rest=0, margin=0.0, langevin_steps=2)
CASE = Case("pointmaze_umaze", "exploit", Disturbance("push", 20, 5.0))


def cell(rule: Any, returns: list[float], **settings: Any) -> Cell:
    shared = {"checkpoint": "a", "disturbance": None, "starts": "tuning", "seed": 0}
    changes = [0] * len(returns)
    return Cell(case="c", rule=rule, settings=shared | settings, returns=returns, changes=changes)


def test_twins_are_compared_and_the_interval_holds_their_mean_difference() -> None:
    cells = [
        cell("never", [0.0, 10.0, 20.0, 30.0, 40.0]),
        cell("periodic", [1.0, 11.0, 21.0, 31.0, 41.0]),
        cell("surprised", [4.0, 12.0, 26.0, 36.0]),
    ]
    found = {(c.rule, c.against): c for c in compare(cells)}
    steady = found["periodic", "never"]
    assert (steady.difference, steady.low, steady.high) == (1.0, 1.0, 1.0)
    assert steady.mean == 21.0
    surprised = found["surprised", "never"]
    assert surprised.episodes == 4  # as many as have a twin
    assert surprised.difference == 4.5
    assert 2.0 <= surprised.low < 4.5 < surprised.high <= 6.0
    assert found["surprised", "periodic"].difference == 3.5


@pytest.mark.parametrize(
    "other",
    [{"checkpoint": "b"}, {"starts": "reporting"}, {"seed": 1}, {"disturbance": ["push", 1, 1.0]}],
)
def test_what_differs_in_more_than_the_rule_is_not_compared(other: dict[str, Any]) -> None:
    found = compare([cell("never", [0.0, 1.0], **other), cell("surprised", [1.0, 2.0])])
    assert [(c.rule, c.against) for c in found] == [("never", "never")]


def test_the_default_cases_leave_robots_alone_push_them_and_move_them_in_a_maze() -> None:
    cases = default_cases(["pointmaze_medium", "hopper"], ["exploit"])
    assert [case.name for case in cases] == [
        "pointmaze_medium exploit undisturbed",
        "pointmaze_medium exploit push",
        "pointmaze_medium exploit teleport",
        "hopper exploit undisturbed",
        "hopper exploit push",
    ]


def test_a_run_goes_on_where_the_last_one_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "cells.json"
    first = run_cells([CASE], CONFIG, episodes=1, starts="tuning", file=file)
    assert [len(cell.returns) for cell in first] == [1, 1, 1]
    assert [cell.rule for cell in first] == ["never", "periodic", "surprised"]
    assert first[0].changes == [0]
    assert first[1].changes[0] >= 1

    ran = []
    original = replanning.run_episode

    def run_episode(robot: Any, actor: Any, seed: int, description: Any) -> Any:
        ran.append(seed)
        return original(robot, actor, seed, description)

    monkeypatch.setattr(replanning, "run_episode", run_episode)
    again = run_cells([CASE], CONFIG, episodes=1, starts="tuning", file=file)
    assert ran == []
    assert [cell.returns for cell in again] == [cell.returns for cell in first]
    # It goes on for more episodes, and other settings are other cells.
    more = run_cells([CASE], CONFIG, episodes=2, starts="tuning", file=file)
    assert len(ran) == 3
    assert [cell.returns[0] for cell in more] == [cell.returns[0] for cell in first]
    run_cells(
        [CASE], CONFIG.model_copy(update={"period": 299}), episodes=1, starts="tuning", file=file
    )
    assert len(ran) == 5


def test_the_bound_is_the_best_of_going_on_and_of_every_known_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checkpoint = replanning._packaged("pointmaze_umaze")
    checkpoint = replace(checkpoint, best_plans=checkpoint.best_plans[-2:])
    monkeypatch.setattr(replanning, "_packaged", lambda robot: checkpoint)
    seen = []
    original = replanning.run_episode

    def run_episode(*arguments: Any) -> Any:
        result = original(*arguments)
        seen.append(result.episode_return)
        return result

    monkeypatch.setattr(replanning, "run_episode", run_episode)
    monkeypatch.setattr(replanning, "WHEN", ())
    (bound,) = run_cells([CASE], CONFIG, episodes=1, starts="tuning", hindsight=1)
    assert len(seen) == 3
    assert bound.returns == [max(seen)]
    assert len(set(seen)) > 1


def test_a_robot_without_a_model_and_a_file_of_something_else_are_refused(tmp_path: Path) -> None:
    without = Case("halfcheetah", "exploit", None)
    with pytest.raises(ConfigurationError, match="no checkpoint is packaged"):
        run_cells([without], CONFIG, episodes=1, starts="tuning")
    file = tmp_path / "other.json"
    file.write_text('{"cells": [{"name": 1}]}')
    with pytest.raises(ConfigurationError, match="another --json"):
        run_cells([CASE], CONFIG, episodes=1, starts="tuning", file=file)
