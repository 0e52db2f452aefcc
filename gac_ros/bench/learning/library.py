"""Algorithms of d3rlpy, trained and run by a worker in an environment of its own.

The worker only ever sees observations and gives actions; the robot, the control loop, the starts
and the scores are this package's, as for every other method.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.bench.learning.methods import LibraryMethod
from gac_ros.bench.learning.tasks import TaskData
from gac_ros.errors import ConfigurationError, GacError
from gac_ros.files import locked
from gac_ros.sim.robot import SimulatedRobot, StepOutcome

_RECORD_FILE = "training.json"
_LOG_FILE = "worker.log"
# A sourced or surrounding environment's packages must not leak into the worker's.
_NOT_INHERITED = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "_ROS_WHEELS_BOOTSTRAP_COMPLETE")


class WorkerError(GacError):
    """The worker ended before its work was done."""


class Library:
    """The folder that holds the worker and its environment.

    Args:
        folder: with `worker.py` and `.venv`.
        python: interpreter to use instead of the one in `.venv`.
        script: the worker's file.
    """

    def __init__(self, folder: Path, python: Path | None = None, script: str = "worker.py") -> None:
        self._worker = folder / script
        self._python = python or folder / ".venv" / "bin" / "python"

    def missing(self) -> str:
        """Why the worker cannot be run; empty when it can."""
        if not self._worker.is_file():
            return (
                f"{self._worker} is missing; run from the checkout, or name the folder with "
                "--value-based"
            )
        if not self._python.exists():
            return f"{self._python} is missing; make its environment with: make value-based"
        return ""

    def command(self, *arguments: str) -> list[str]:
        """Command line of the worker."""
        # Not resolved: an environment's interpreter is a link whose place tells its packages.
        return [str(self._python.absolute()), str(self._worker.resolve()), *arguments]

    def environment(self) -> dict[str, str]:
        """Environment variables of the worker."""
        kept = {key: value for key, value in os.environ.items() if key not in _NOT_INHERITED}
        return {**kept, "OMP_NUM_THREADS": "1"}


def train_library(
    library: Library,
    folder: Path,
    method: LibraryMethod,
    data: TaskData,
    seed: int,
    cpu_seconds: float,
    on_progress: Callable[[float, str], None] = lambda done, text: None,
) -> dict[str, Any]:
    """Train for a budget of processor time, or take what `folder` holds already.

    Args:
        library: the worker.
        folder: of the trained model.
        method: which algorithm, and which rewards it sees.
        data: what it learns from.
        seed: of the training.
        cpu_seconds: the budget.
        on_progress: told of the seconds spent and of the progress in words.

    Returns:
        The worker's record: steps, wall, cpu, settings, versions.

    Raises:
        ConfigurationError: the worker's environment is missing.
        WorkerError: it failed; its log says why.
    """
    folder = folder.absolute()  # the worker has a working directory of its own
    record = folder / _RECORD_FILE
    with locked(folder.with_name(f".{folder.name}.lock")):
        if not record.is_file():
            if library.missing():
                raise ConfigurationError(library.missing())
            _run_training(library, folder, method, data, seed, cpu_seconds, on_progress)
    content: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    return content


def _run_training(
    library: Library,
    folder: Path,
    method: LibraryMethod,
    data: TaskData,
    seed: int,
    cpu_seconds: float,
    on_progress: Callable[[float, str], None],
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    arrays = folder.with_name(f".{folder.name}.npz")
    log = folder.with_name(f"{folder.name}.log")
    _write_arrays(arrays, data)
    command = library.command(
        "train",
        *("--data", str(arrays)),
        *("--algorithm", method.algorithm),
        *("--rewards", method.rewards),
        *("--seed", str(seed)),
        *("--cpu-seconds", str(cpu_seconds)),
        *("--out", str(folder)),
    )
    try:
        with running_worker(library, command, log, stdin=None) as process:
            assert process.stdout is not None
            for line in process.stdout:
                progress = json.loads(line)
                on_progress(progress["cpu"], f"step {progress['step']}")
            if process.wait() != 0:
                raise WorkerError(f"the training of {method.name} failed; {log} says why")
    finally:
        arrays.unlink(missing_ok=True)


def _write_arrays(path: Path, data: TaskData) -> None:
    buffer = data.buffer
    with path.open("wb") as file:
        np.savez(
            file,
            observations=buffer.arrays.observations,
            actions=buffer.arrays.actions,
            rewards=np.concatenate([episode.rewards for episode in buffer]),
            lengths=buffer.lengths,
            terminated=np.array([episode.terminated for episode in buffer]),
        )


@contextmanager
def running_worker(
    library: Library, command: list[str], log: Path, *, stdin: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The running worker; ended when the context is left, however that happens."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=library.environment(),
            cwd=log.parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            # A request that a dead worker never took is still to be flushed, and cannot be.
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


class LibraryActor:
    """An actor that asks the worker; `reward` must be told of each step's reward."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], log: Path, actions: int) -> None:
        self._requests = requests
        self._answers = answers
        self._log = log
        self._answer_size = 8 * actions
        self._started = True
        self._reward = 0.0

    def begin(self, seed: int) -> None:
        """Start an episode; these policies are deterministic."""
        self._started = True
        self._reward = 0.0

    def reward(self, reward: float) -> None:
        """Take in what the last action earned."""
        self._reward = reward

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,)."""
        numbers = (float(self._started), self._reward, *observation.tolist())
        self._started = False
        try:
            self._requests.write(struct.pack(f"<{len(numbers)}d", *numbers))
            self._requests.flush()
            answer = self._answers.read(self._answer_size)
        except OSError:
            answer = b""
        if len(answer) != self._answer_size:
            raise WorkerError(f"the worker ended while it was acting; {self._log} says why")
        return np.frombuffer(answer, dtype="<f8")


@contextmanager
def library_actor(library: Library, folder: Path, data: TaskData) -> Iterator[LibraryActor]:
    """The actor of a trained model, while its worker runs.

    Raises:
        WorkerError: it does not start.
    """
    log = folder / _LOG_FILE
    command = library.command("act", "--model", str(folder.resolve()))
    with running_worker(library, command, log, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready = process.stdout.read(8)
        size = struct.unpack("<q", ready)[0] if len(ready) == 8 else None
        if size != data.embodiment.observation_size:
            raise WorkerError(f"the worker did not start; {log} says why")
        yield LibraryActor(process.stdin, process.stdout, log, data.embodiment.action_size)


class RewardedRobot:
    """A robot that also tells the actor its rewards, which a return to go is counted from.

    Args:
        robot: does everything else.
        actor: is told.
        rewards: whether the actor sees each step's reward, or nothing before the end.
    """

    def __init__(self, robot: SimulatedRobot, actor: LibraryActor, *, rewards: bool) -> None:
        self._robot = robot
        self._actor = actor
        self._rewards = rewards
        self.embodiment = robot.embodiment

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return self._robot.time

    def reset(self, seed: int) -> None:
        """Start an episode."""
        self._robot.reset(seed)

    def step(self, action: NDArray[np.float64]) -> StepOutcome:
        """Apply an action (A,) for a control period."""
        outcome = self._robot.step(action)
        if self._rewards:
            self._actor.reward(outcome.reward)
        return outcome

    def messages(self, stamp: int) -> dict[str, Any]:
        """Message of every observation channel by its topic."""
        return self._robot.messages(stamp)
