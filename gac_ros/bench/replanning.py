"""Does planning again during an episode help? Three rules on the same starts and disturbances.

Every episode of one rule has its twin, with the same start, first plan and disturbance, under the
others: what counts is the difference of twins. Finished cells are kept in the JSON file, and a
second run of the same command goes on where the first one stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from gac_ros.bench.goals import write_measurement
from gac_ros.checkpoint import Checkpoint, load_checkpoint
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.evaluate import describe_actor, make_actor
from gac_ros.evaluation.rollout import run_episode
from gac_ros.evaluation.seeds import Purpose, episode_seed, tuning_seed
from gac_ros.planning import Mode, Plan
from gac_ros.policy import GacActor
from gac_ros.replanning.config import WHEN, ReplanningConfig
from gac_ros.resources import packaged_checkpoint
from gac_ros.sim import make_robot
from gac_ros.sim.disturbance import Disturbance, DisturbedRobot

Starts = Literal["tuning", "reporting"]
Rule = Literal["never", "periodic", "surprised", "hindsight"]
_RESAMPLES = 10_000
_SAVE_PERIOD = 10.0  # seconds
# What twins have in common beside their case.
_SHARED = ("checkpoint", "disturbance", "starts", "seed")


@dataclass(frozen=True)
class Case:
    """A robot, how its plans are made, and what happens to it.

    Attributes:
        robot: a packaged one.
        mode: of the plans.
        disturbance: None for an undisturbed episode.
    """

    robot: str
    mode: Mode
    disturbance: Disturbance | None

    @property
    def name(self) -> str:
        """In one word each."""
        what = self.disturbance.kind if self.disturbance else "undisturbed"
        return f"{self.robot} {self.mode} {what}"


def default_cases(robots: Sequence[str], modes: Sequence[Mode]) -> list[Case]:
    """Each robot and mode undisturbed, pushed, and, in a maze, moved, in mid-episode."""
    cases = []
    for robot in robots:
        # Speeds at which some episodes are lost and some are not.
        disturbances: list[Disturbance | None] = [None]
        if robot.startswith("pointmaze"):
            disturbances += [Disturbance("push", 150, 5.0), Disturbance("teleport", 150)]
        else:
            disturbances += [Disturbance("push", 300, 0.8)]
        cases += [Case(robot, mode, what) for mode in modes for what in disturbances]
    return cases


class Cell(BaseModel):
    """Episodes of one case under one rule. Grows while they are run.

    Attributes:
        case: its name.
        rule: when plans were made again; `hindsight` is no rule but a bound: the best, start by
            start, of going on with the plan or with one of the data's best plans instead.
        settings: everything else that decides the returns.
        returns: of the first starts, in their order.
        changes: changes of plan in each.
    """

    model_config = ConfigDict(extra="forbid")

    case: str
    rule: Rule
    settings: dict[str, Any]
    returns: list[float]
    changes: list[int]


def run_cells(
    cases: Sequence[Case],
    config: ReplanningConfig,
    *,
    episodes: int,
    starts: Starts,
    seed: int = 0,
    hindsight: int = 0,
    file: Path | None = None,
    on_episode: Callable[[], None] = lambda: None,
) -> list[Cell]:
    """Run what the file does not hold yet.

    Args:
        cases: to run under every rule.
        config: of re-planning; its `when` is the rule's.
        episodes: of each cell.
        starts: `tuning` while settings are chosen, `reporting` for figures.
        seed: another one gives other starts of that kind.
        hindsight: episodes of the bound; each takes as many roll-outs as there are best plans.
        file: JSON file of the cells; None keeps nothing.
        on_episode: called after each episode, those that were there already included.

    Raises:
        ConfigurationError: a robot has no packaged checkpoint; the file is not of this benchmark.
        OutputError: the file cannot be written.
    """
    kept = _read(file) if file is not None and file.exists() else []
    book = _Book(file, kept)
    cells = []
    counts: dict[Rule, int] = {**dict.fromkeys(WHEN, episodes), "hindsight": hindsight}
    for case in cases:
        checkpoint = _packaged(case.robot)
        for rule, count in counts.items():
            if count == 0 or (rule == "hindsight" and case.disturbance is None):
                continue
            cell = book.open(
                case.name, rule, _settings(case, rule, config, checkpoint, starts, seed)
            )
            for _ in range(min(count, len(cell.returns))):
                on_episode()
            seeds = [_seed(starts, seed, index) for index in range(len(cell.returns), count)]
            for episode_return, changes in _run(case, rule, config, checkpoint, seeds):
                cell.returns.append(episode_return)
                cell.changes.append(changes)
                book.save()
                on_episode()
            book.save(at_once=True)
            cells.append(cell)
    return cells


def count_episodes(cases: Sequence[Case], episodes: int, hindsight: int) -> int:
    """How many episodes `run_cells` goes through."""
    disturbed = sum(case.disturbance is not None for case in cases)
    return len(cases) * len(WHEN) * episodes + disturbed * hindsight


def _run(
    case: Case,
    rule: Rule,
    config: ReplanningConfig,
    checkpoint: Checkpoint,
    seeds: Sequence[int],
) -> Iterator[tuple[float, int]]:
    """Return and changes of plan of each episode."""
    if rule == "hindsight":
        yield from _run_hindsight(case, checkpoint, seeds)
        return
    robot = _robot(case)
    actor = make_actor(checkpoint, case.mode, config.model_copy(update={"when": rule}))
    for seed in seeds:
        result = run_episode(robot, actor, seed, describe_actor(checkpoint, case.mode))
        assert result.episode_return is not None
        yield result.episode_return, getattr(actor, "changes", 0)


class _ChangeAt(GacActor):
    """Changes to a given plan at a given step."""

    other: Plan | None = None
    at = 0
    _step = 0

    def follow(self, plan: Plan) -> None:
        super().follow(plan)
        self._step = 0

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        if self._step == self.at and self.other is not None:
            self.change(self.other)
        self._step += 1
        return super().act(observation)


def _run_hindsight(
    case: Case, checkpoint: Checkpoint, seeds: Sequence[int]
) -> Iterator[tuple[float, int]]:
    assert case.disturbance is not None
    planner = checkpoint.make_planner()
    actor = _ChangeAt(planner, checkpoint.make_policy(), case.mode)
    # The command that answers the first disturbed observation.
    actor.at = case.disturbance.step + 1
    known = [planner.plan_of(z0) for z0 in checkpoint.best_plans]
    robot = _robot(case)
    for seed in seeds:
        returns = []
        for other in (None, *known):
            actor.other = other
            result = run_episode(robot, actor, seed, describe_actor(checkpoint, case.mode))
            assert result.episode_return is not None
            returns.append(result.episode_return)
        yield max(returns), int(np.argmax(returns) > 0)


def _robot(case: Case) -> Any:
    robot = make_robot(case.robot)
    return robot if case.disturbance is None else DisturbedRobot(robot, case.disturbance)


def _packaged(robot: str) -> Checkpoint:
    path = packaged_checkpoint(robot)
    if not path.is_dir():
        raise ConfigurationError(f"no checkpoint is packaged for '{robot}'; choose another --robot")
    return load_checkpoint(path)


def _seed(starts: Starts, seed: int, index: int) -> int:
    if starts == "tuning":
        return tuning_seed(seed, index)
    return episode_seed(seed, index, Purpose.BENCHMARK)


def _settings(
    case: Case,
    rule: Rule,
    config: ReplanningConfig,
    checkpoint: Checkpoint,
    starts: Starts,
    seed: int,
) -> dict[str, Any]:
    what = case.disturbance
    return {
        # Nothing of it is used by these two.
        "config": None if rule in ("never", "hindsight") else config.model_dump(exclude={"when"}),
        "checkpoint": checkpoint.digest,
        "disturbance": None if what is None else [what.kind, what.step, what.speed],
        "starts": starts,
        "seed": seed,
    }


def _read(file: Path) -> list[Cell]:
    try:
        return [Cell.model_validate(cell) for cell in json.loads(file.read_text())["cells"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigurationError(
            f"{file}: not a file of this benchmark ({error!r:.200}); choose another --json"
        ) from error


class _Book:
    """The cells of a file. An interrupted run loses the episodes of the last few seconds."""

    def __init__(self, file: Path | None, cells: list[Cell]) -> None:
        self._file = file
        self._cells = cells
        self._saved = time.monotonic()

    def open(self, case: str, rule: Rule, settings: dict[str, Any]) -> Cell:
        """The cell as far as it has been run."""
        for cell in self._cells:
            if (cell.case, cell.rule, cell.settings) == (case, rule, settings):
                return cell
        self._cells.append(Cell(case=case, rule=rule, settings=settings, returns=[], changes=[]))
        return self._cells[-1]

    def save(self, *, at_once: bool = False) -> None:
        """Write the file, if that is due."""
        if self._file is None or (not at_once and time.monotonic() - self._saved < _SAVE_PERIOD):
            return
        self._saved = time.monotonic()
        figures = {
            "comparisons": [comparison.model_dump() for comparison in compare(self._cells)],
            "cells": [cell.model_dump() for cell in self._cells],
        }
        write_measurement(self._file, (), figures)


# --- what comes of it -----------------------------------------------------------------------------


class Comparison(BaseModel):
    """A rule against another one, twin by twin.

    Attributes:
        case: its name.
        rule: which is compared.
        against: with which.
        episodes: pairs of twins.
        mean: return under the rule.
        difference: mean difference of twins.
        low: end of the 95 % bootstrap interval of the difference.
        high: its other end.
        changes: changes of plan an episode.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    case: str
    rule: Rule
    against: Rule
    episodes: int
    mean: float
    difference: float
    low: float
    high: float
    changes: float


def compare(cells: Sequence[Cell]) -> list[Comparison]:
    """Each rule with `never`, itself included, and `surprised` with `periodic`, case by case."""
    found = []
    for cell in cells:
        others: list[Rule] = ["never", "periodic"] if cell.rule == "surprised" else ["never"]
        for against in others:
            found += [
                _compare(cell, other)
                for other in ([cell] if cell.rule == against else cells)
                if (other.case, other.rule) == (cell.case, against)
                and all(cell.settings[key] == other.settings[key] for key in _SHARED)
                and min(len(cell.returns), len(other.returns)) > 1
            ]
    return found


def _compare(cell: Cell, other: Cell) -> Comparison:
    count = min(len(cell.returns), len(other.returns))
    returns = np.array(cell.returns[:count])
    differences = returns - np.array(other.returns[:count])
    random = np.random.default_rng(0)
    picks = random.integers(count, size=(_RESAMPLES, count))
    low, high = np.percentile(differences[picks].mean(axis=1), [2.5, 97.5])
    return Comparison(
        case=cell.case,
        rule=cell.rule,
        against=other.rule,
        episodes=count,
        mean=float(returns.mean()),
        difference=float(differences.mean()),
        low=float(low),
        high=float(high),
        changes=float(np.mean(cell.changes[:count])),
    )
