"""Runs of the online loop that take seconds, and how to kill one on its way."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gac_ros.online.config import OnlineConfig
from gac_ros.online.loop import run_online
from gac_ros.online.request import OnlineRequest
from gac_ros.online.results import RoundResult

ROBOT = "pointmaze_umaze"
TRAINING = {
    "iterations": 3,
    "batch_episodes": 2,
    "windows": 2,
    "window_length": 4,
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


_GO_ON = """
import sys
from importlib import import_module
from pathlib import Path
from tests.online.small_runs import Loud
import_module(sys.argv[1]).go_on(*map(Path, sys.argv[2:]), Loud())
"""


def kill_at(
    stage: str, module: str, *paths: Path, heard: Callable[[str], None] | None = None
) -> None:
    """Have a process call `module.go_on(*paths, watch)`, and kill it when a stage has begun.

    `heard` is told each line that it prints until then.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", _GO_ON, module, *map(str, paths)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for line in process.stdout:
        if heard is not None:
            heard(line)
        if stage in line:
            break
    else:
        raise AssertionError(f"it ended before {stage}")
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
