"""What a run found, and the JSON file that keeps it.

A run is a task, a method and a training seed. Its file is `<task>/<method>/seed-<seed>.json` below
a results folder; everything that the report says comes from such files.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from gac_ros.bench.learning.methods import ModelMethod, find_method
from gac_ros.bench.stopwatch import Times
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.evaluation.results import EpisodeResult, score
from gac_ros.files import write_text

# "tuning" is what the files of ablations say of gac evaluate's starts; no choice was made on them.
Starts = Literal["benchmark", "tuning"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSummary(_Frozen):
    """The episodes that were learned from.

    Attributes:
        digest: SHA-256 of ids and content.
        episodes, steps: how many.
        score_mean, score_best: normalised, of the recorded returns.
        score_best_5_percent: mean of the best 5 % of the episodes.
        best_return: of the best episode, in the robot's units.
    """

    digest: str
    episodes: int
    steps: int
    score_mean: float
    score_best: float
    score_best_5_percent: float
    best_return: float

    @classmethod
    def of(cls, buffer: EpisodeBuffer, robot: str) -> DataSummary:
        """Summary of a buffer whose episodes all have returns."""
        scores = np.sort([normalized(robot, float(value)) for value in buffer.returns])
        best = max(1, round(0.05 * len(scores)))
        return cls(
            digest=buffer.digest,
            episodes=len(buffer),
            steps=int(buffer.lengths.sum()),
            score_mean=float(scores.mean()),
            score_best=float(scores[-1]),
            score_best_5_percent=float(scores[-best:].mean()),
            best_return=float(buffer.returns.max()),
        )


class EpisodeRecord(_Frozen):
    """One evaluated episode; see `EpisodeResult`. The seed is None for a recorded one."""

    seed: int | None = None
    episode_return: float
    score: float
    length: int
    predicted_return: float | None = None


class RunTimes(_Frozen):
    """Where the time of a run went; None where there was no such part.

    Attributes:
        collection: collecting the data (once a task).
        training: learning; methods that share a training repeat its time.
        planning: finding the plans of all evaluated episodes.
        evaluation: the episodes themselves, without planning, summed over processes.
    """

    collection: Times | None = None
    training: Times | None = None
    planning: Times | None = None
    evaluation: Times | None = None


class RunRecord(_Frozen):
    """One run.

    Attributes:
        task, method, seed: which one; the seed is of the training and picks the starts.
        starts: `benchmark`, those of the table alone, or `tuning`, those of `gac evaluate`, which
            ablations have.
        score_mean, score_standard_error, score_interval: over the episodes; the interval is
            Student's t at 95 %.
        return_mean: in the robot's units.
        episodes: each of them.
        data: what was learned from.
        times: wall-clock and processor time.
        config: what decides the run; another one makes the run stale.
        training: further facts about the training (iterations, library versions, ...).
        commit: of the checkout; `+changes` where the package differed from it; None without git.
        command: that makes this run.
        versions: of Python and the libraries.
        processor: the machine's.
        finished: ISO 8601 in UTC.
    """

    format: Literal[1] = 1
    task: str
    method: str
    seed: int
    starts: Starts
    score_mean: float
    score_standard_error: float | None
    score_interval: tuple[float, float] | None
    return_mean: float
    episodes: tuple[EpisodeRecord, ...]
    data: DataSummary
    times: RunTimes
    config: dict[str, Any]
    training: dict[str, Any]
    commit: str | None
    command: str
    versions: dict[str, str]
    processor: str
    finished: str

    @property
    def scores(self) -> list[float]:
        """Normalised score of each episode."""
        return [episode.score for episode in self.episodes]


def statistics(scores: Sequence[float]) -> dict[str, Any]:
    """The fields of a record that say what its scores come to."""
    error = None
    if len(scores) > 1:
        error = float(np.std(scores, ddof=1)) / math.sqrt(len(scores))
    return {
        "score_mean": float(np.mean(scores)),
        "score_standard_error": error,
        "score_interval": mean_interval(scores),
    }


def normalized(robot: str, episode_return: float) -> float:
    """Normalised score of a return.

    Raises:
        ConfigurationError: the robot has no reference scores.
    """
    value = score(robot, episode_return)
    if value is None:
        raise ConfigurationError(f"the robot '{robot}' has no reference scores to compare with")
    return value


def evaluated(result: EpisodeResult) -> EpisodeRecord:
    """Record of an episode that was run."""
    if result.episode_return is None or result.normalized_score is None:
        raise ConfigurationError(f"the episode with seed {result.seed} has no score")
    return EpisodeRecord(
        seed=result.seed,
        episode_return=result.episode_return,
        score=result.normalized_score,
        length=result.length,
        predicted_return=result.predicted_return,
    )


def record_path(results: Path, task: str, method: str, seed: int) -> Path:
    """Where a run's file is."""
    return results / task / method / f"seed-{seed}.json"


def write_record(results: Path, record: RunRecord) -> Path:
    """Write a run's file; it is there complete or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    path = record_path(results, record.task, record.method, record.seed)
    content = record.model_dump(mode="json", exclude={"episodes"})
    episodes = [episode.model_dump(mode="json", exclude_none=True) for episode in record.episodes]
    # One episode a line: readable, and small enough to keep under version control.
    lines = ",\n".join(f"  {json.dumps(episode, allow_nan=False)}" for episode in episodes)
    head = json.dumps(content, indent=1, allow_nan=False).removesuffix("\n}")
    write_text(path, f'{head},\n "episodes": [\n{lines}\n ]\n}}\n')
    return path


def read_record(path: Path) -> RunRecord:
    """Read a run's file.

    Raises:
        EpisodeError: it is damaged or of another format.
    """
    try:
        return RunRecord.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        reason = " ".join(str(error).split())[:200]
        raise EpisodeError(f"{path}: is no run of this benchmark ({reason}); remove it") from error


def read_records(results: Path) -> Iterator[RunRecord]:
    """Every run below a results folder, in the order of the paths."""
    for path in sorted(results.glob("*/*/seed-*.json")):
        yield read_record(path)


def is_stale(record: RunRecord, config: dict[str, Any]) -> bool:
    """Whether a run was made with another configuration than the present one.

    A setting that the record does not know and that is off now (0, false, null) changes nothing.
    """
    recorded = dict(record.config)
    method = find_method(record.method)
    if isinstance(method, ModelMethod):
        recorded["training"] = method.read_settings(recorded["training"])
    return _differs(recorded, json.loads(json.dumps(config)))


def _differs(recorded: Any, present: Any) -> bool:
    if not (isinstance(recorded, dict) and isinstance(present, dict)):
        return bool(recorded != present)
    if recorded.keys() - present.keys():
        return True
    return any(
        _differs(recorded[key], value) if key in recorded else bool(value)
        for key, value in present.items()
    )
