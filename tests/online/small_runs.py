"""Runs of the online loop that take seconds, and how to kill one on its way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from gac_ros.online.config import OnlineConfig
from gac_ros.online.loop import run_online
from gac_ros.online.request import OnlineRequest
from gac_ros.online.results import RoundResult
from tests.killing import killed_at_the_end

ROBOT = "pointmaze_umaze"
TRAINING = {
    "iterations": 3,
    "batch_episodes": 2,
    "windows": 2,
    "window_length": 4,
    "mode_steps": 3,
    "planner": {"langevin_steps": 3, "exploit_steps": 2},
}
MODEL = {"plan_token_size": 4, "width": 16, "heads": 2, "layers": 1, "prior_hidden": 16}
CONFIG = OnlineConfig.model_validate(
    {
        "episodes": 3,
        "round_episodes": 2,
        "evaluation_episodes": 2,
        "gate_episodes": 2,
        "plan_trials": 3,
        "plan_trial_starts": 1,
        "initial": {**TRAINING, "model": MODEL},
        "finetune": TRAINING,
    }
)


class Silent:
    """Watches without a word."""

    def __init__(self) -> None:
        self.rounds: list[int] = []

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        yield lambda words: None

    def say(self, words: str) -> None:
        pass

    def round_done(self, result: RoundResult) -> None:
        self.rounds.append(result.round)


class Loud(Silent):
    """Prints each part of a stage, and what is said."""

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[Callable[[str], None]]:
        yield lambda words: print(name, flush=True)

    def say(self, words: str) -> None:
        print(words, flush=True)


def request(out: Path, data: Path, **changes: object) -> OnlineRequest:
    return OnlineRequest(
        **{"robot": ROBOT, "out": out, "config": CONFIG, "initial_data": (data,), **changes}
    )


def go_on(out: Path, data: Path, watch: Silent) -> None:
    """Begin the run, or resume it."""
    run_online(request(out, data, resume=(out / "run.json").exists()), watch)


def kill_at(
    stage: str, module: str, *paths: Path, heard: Callable[[str], None] | None = None
) -> None:
    """Have a process call `module.go_on(*paths, watch)`, and kill it when a stage has begun.

    `heard` is told each line that it prints until then.
    """
    with killed_at_the_end(_go_on, module, *paths) as lines:
        for line in lines:
            if heard is not None:
                heard(line)
            if stage in line:
                break
        else:
            raise AssertionError(f"it ended before {stage}")


def _go_on(module: str, *paths: Path) -> None:
    import_module(module).go_on(*paths, Loud())
