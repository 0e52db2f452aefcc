"""What an evaluation found, and the `results.json` that keeps it.

Keys of `results.json`: `episodes` (a list), `return_mean`, `normalized_score_mean`,
`normalized_score_ci95` ([low, high], Student's t over the episodes), and `run` (what was run).
Latencies are in seconds; a bag's path is relative to the file's folder where it lies below it.
What is unknown is null: the score of a robot without reference scores, the interval of one
episode.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from gac_ros import __version__
from gac_ros.episode import LatencySummary
from gac_ros.errors import OutputError
from gac_ros.evaluation.intervals import mean, mean_interval
from gac_ros.files import write_json
from gac_ros.sim.scores import normalized_score

RESULTS_FILE = "results.json"
EPISODES_FOLDER = "episodes"
LOGS_FOLDER = "logs"

Transport = Literal["ros", "inproc"]


@dataclass(frozen=True)
class EpisodeResult:
    """How one episode went.

    Attributes:
        seed: of the reset and of the plan.
        episode_return: None when the robot's returns come from a label that nobody gave.
        length: executed actions T.
        terminated: the task ended it.
        truncated: the time limit ended it.
        normalized_score: 0 = random policy, 100 = expert; None without reference scores.
        latency: observation-to-action latency; None when no action was decided.
        predicted_return: what the plan promised; None without a plan.
        bag: the episode's bag; None when not recorded.
    """

    seed: int
    episode_return: float | None
    length: int
    terminated: bool
    truncated: bool
    normalized_score: float | None
    latency: LatencySummary | None
    predicted_return: float | None
    bag: Path | None


@dataclass(frozen=True)
class RunDescription:
    """What was run.

    Attributes:
        robot: name, or path of an embodiment file.
        policy: `gac` or `behaviour_cloning`.
        mode: how plans were made.
        checkpoint: directory of the checkpoint.
        checkpoint_digest: of its content.
        transport: over real ROS, or in this process.
        seed: what the user gave.
        lock_step: whether simulated time waited for each action.
        command_line: what the user typed.
        replanning: when plans were made again during an episode.
        package_version: of gac_ros.
    """

    robot: str
    policy: str
    mode: str | None
    checkpoint: str | None
    checkpoint_digest: str | None
    transport: Transport
    seed: int
    lock_step: bool
    command_line: str
    replanning: str = "never"
    package_version: str = __version__


@dataclass(frozen=True)
class EvaluationResult:
    """All episodes of a run."""

    run: RunDescription
    episodes: tuple[EpisodeResult, ...]

    @cached_property
    def return_mean(self) -> float | None:
        """Mean return; None when no episode has one."""
        return mean([e.episode_return for e in self.episodes if e.episode_return is not None])

    @cached_property
    def scores(self) -> list[float]:
        """Normalised scores of the episodes that have one."""
        return [e.normalized_score for e in self.episodes if e.normalized_score is not None]

    @property
    def normalized_score_mean(self) -> float | None:
        """Mean normalised score; None without scores."""
        return mean(self.scores)

    @property
    def normalized_score_ci95(self) -> tuple[float, float] | None:
        """95 % interval of the mean score; None with fewer than two scores."""
        return mean_interval(self.scores)

    def to_dict(self, folder: Path) -> dict[str, Any]:
        """Content of `folder`/results.json."""
        interval = self.normalized_score_ci95
        return {
            "episodes": [_episode_dict(episode, folder) for episode in self.episodes],
            "return_mean": self.return_mean,
            "normalized_score_mean": self.normalized_score_mean,
            "normalized_score_ci95": None if interval is None else list(interval),
            "run": {**asdict(self.run), "episodes": len(self.episodes)},
        }


def score(robot: str, episode_return: float | None) -> float | None:
    """Normalised score; None without a return, or for a robot without reference scores."""
    return None if episode_return is None else normalized_score(robot, float(episode_return))


def _episode_dict(episode: EpisodeResult, folder: Path) -> dict[str, Any]:
    latency = episode.latency
    return {
        "seed": episode.seed,
        "return": episode.episode_return,
        "length": episode.length,
        "terminated": episode.terminated,
        "truncated": episode.truncated,
        "normalized_score": episode.normalized_score,
        "latency": None
        if latency is None
        else {"p50": latency.p50, "p99": latency.p99, "max": latency.maximum},
        "predicted_return": episode.predicted_return,
        "bag": None if episode.bag is None else _relative(episode.bag, folder),
    }


def _relative(path: Path, folder: Path) -> str:
    path, folder = path.absolute(), folder.absolute()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def prepare_folder(folder: Path, *, overwrite: bool = False) -> None:
    """Make sure, before anything runs, that results can be written to a folder.

    Raises:
        OutputError: it cannot be written, or holds results already.
    """
    results = folder / RESULTS_FILE
    if results.exists() and not overwrite:
        raise OutputError(
            f"{results} exists already; choose another --out, or replace it with --overwrite"
        )
    probe = folder / f".probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written ({error.strerror or error}); check the permissions and "
            "the disk's space, or choose another --out"
        ) from error


def write_results(result: EvaluationResult, folder: Path) -> Path:
    """Write `folder`/results.json; it is there complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / RESULTS_FILE
    write_json(path, result.to_dict(folder))
    return path
