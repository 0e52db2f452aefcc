"""A value-based learner of d3rlpy, behind the pipes to its worker.

The worker sees observations, gives actions, and is given episodes with their returns.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.bench.learning.library import Library, WorkerError, running_worker
from gac_ros.embodiment import Embodiment
from gac_ros.episode import Episode
from gac_ros.errors import ConfigurationError, OutputError

WORKER_SCRIPT = "online_worker.py"
LOG_FILE = "worker.log"
_DATA_FILE = ".data.npz"


class Learner:
    """Asks the worker; see `benchmarks/value_based/online_worker.py` for the requests."""

    def __init__(self, requests: IO[bytes], answers: IO[bytes], log: Path) -> None:
        self._requests = requests
        self._answers = answers
        self._log = log

    def describe(self) -> dict[str, Any]:
        """The library's settings and versions."""
        return self._ask("describe")

    def seed(self, seed: int) -> None:
        """Begin all of the worker's random numbers anew."""
        self._ask("seed", seed=seed)

    def act(self, observation: NDArray[np.float64], *, explore: bool) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,): sampled from the policy, or its mode."""
        answer = self._ask("act", observation=observation.tolist(), explore=explore)
        return np.array(answer["action"], dtype=np.float64)

    def add(self, episode: Episode) -> None:
        """Have an episode learned from; of its rewards the worker hears their sum alone."""
        self._ask(
            "add",
            observations=episode.observations.tolist(),
            actions=episode.actions.tolist(),
            **{"return": episode.episode_return},
        )

    def learn(self, updates: int) -> float:
        """Make gradient steps; returns the processor time in seconds."""
        return float(self._ask("learn", updates=updates)["cpu"])

    def save(self, path: Path) -> None:
        """Keep weights and the optimisers' state in a file, whole or not at all."""
        aside = path.with_name(f".{path.name}.part")
        self._ask("save", path=str(aside.absolute()))
        aside.replace(path)

    def load(self, path: Path) -> None:
        """Go on from such a file."""
        self._ask("load", path=str(path.absolute()))

    def _ask(self, what: str, **request: Any) -> dict[str, Any]:
        try:
            self._requests.write(json.dumps({"do": what, **request}).encode() + b"\n")
            self._requests.flush()
            answer: dict[str, Any] = json.loads(self._answers.readline())
        except (OSError, ValueError) as error:
            raise WorkerError(f"the worker ended too early; {self._log} says why") from error
        return answer


class LearnerActor:
    """The learner's policy as an actor.

    Args:
        learner: is asked.
        explore: whether actions are sampled; else the policy's mode is followed.
    """

    def __init__(self, learner: Learner, *, explore: bool) -> None:
        self._learner = learner
        self._explore = explore

    def begin(self, seed: int) -> None:
        """Start an episode, whose seed decides the sampled actions."""
        self._learner.seed(seed)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,)."""
        return self._learner.act(observation, explore=self._explore)


@contextmanager
def running_learner(
    library: Library,
    folder: Path,
    algorithm: str,
    seed: int,
    embodiment: Embodiment,
    episodes: Sequence[Episode],
) -> Iterator[Learner]:
    """A learner with the episodes that it begins with, while its worker runs.

    Args:
        library: the worker.
        folder: of the run; the worker's log goes there.
        algorithm: as the worker knows it.
        seed: of its weights.
        embodiment: of the robot.
        episodes: each with a return.

    Raises:
        ConfigurationError: the worker's environment is missing.
        OutputError: the folder cannot be written.
        WorkerError: it does not start.
    """
    if library.missing():
        raise ConfigurationError(library.missing())
    data, log = folder.absolute() / _DATA_FILE, folder.absolute() / LOG_FILE
    command = library.command(
        *("--data", str(data)), *("--algorithm", algorithm), *("--seed", str(seed))
    )
    try:
        _write_arrays(data, embodiment, episodes)
        with running_worker(library, command, log, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Learner(process.stdin, process.stdout, log)
    finally:
        data.unlink(missing_ok=True)


def _write_arrays(path: Path, embodiment: Embodiment, episodes: Sequence[Episode]) -> None:
    rewards = [np.zeros(len(episode)) for episode in episodes]
    for values, episode in zip(rewards, episodes, strict=True):
        assert episode.episode_return is not None
        values[-1] = episode.episode_return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(
                file,
                observations=np.concatenate([episode.observations for episode in episodes]),
                actions=np.concatenate([episode.actions for episode in episodes]),
                rewards=np.concatenate(rewards),
                lengths=np.array([len(episode) for episode in episodes]),
                terminated=np.array([episode.terminated for episode in episodes]),
                action_low=embodiment.action_low,
                action_high=embodiment.action_high,
            )
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); check the permissions and "
            "the disk's space, or choose another folder"
        ) from error
