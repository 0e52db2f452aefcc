"""What a run of online learning found, round by round, and the files that keep it.

A finished round is one `round.json` in the round's folder; `results.json` of the run holds them
all under `rounds`, with what was run under `run`. Returns are in the robot's own units, scores 0
(random policy) to 100 (expert) and null without reference scores, times in seconds of the process
that finished a stage. Paths are relative to the run's folder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from gac_ros.errors import EpisodeError
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.evaluation.results import EvaluationResult
from gac_ros.online.gate import GateResult

RESULTS_FILE = "results.json"
ROUND_FILE = "round.json"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Exploitation(_Record):
    """Exploitation with the incumbent on the reporting starts, the same ones every round."""

    returns: list[float]
    return_mean: float
    return_ci95: tuple[float, float] | None
    normalized_score_mean: float | None
    normalized_score_ci95: tuple[float, float] | None

    @classmethod
    def of(cls, result: EvaluationResult) -> Exploitation:
        """Figures of an evaluation.

        Raises:
            EpisodeError: its episodes have no return.
        """
        returns = [e.episode_return for e in result.episodes if e.episode_return is not None]
        if len(returns) < len(result.episodes) or result.return_mean is None:
            raise EpisodeError(
                "the robot's episodes come without a return; online learning needs a reward topic "
                "or a scoring function in the embodiment"
            )
        return cls(
            returns=returns,
            return_mean=result.return_mean,
            return_ci95=mean_interval(returns),
            normalized_score_mean=result.normalized_score_mean,
            normalized_score_ci95=result.normalized_score_ci95,
        )


class Collection(_Record):
    """What a round asked for and collected; methods without plans ask for nothing.

    Attributes:
        returns: of the episodes, in the order of their seeds.
        return_mean: their mean.
        steps: robot steps in all.
        targets: y+ of each, of the plan where it had one; else, to compare strategies by, the
            median of the last two rounds plus delta-y.
        target_mean: their mean.
        increment: delta-y.
        reach: c, delta-y in standard deviations.
        reached_share: share of episodes that reached their y+.
        shares: of what exploring plans were made of (`Mixture`); None where plans did not explore.
    """

    returns: list[float]
    return_mean: float
    steps: int
    targets: list[float] = []
    target_mean: float | None = None
    increment: float | None = None
    reach: float | None = None
    reached_share: float | None = None
    shares: dict[str, float] | None = None


class LiveResult(_Record):
    """What became of an accepted candidate on the running robot (`gac improve`).

    Attributes:
        kept: whether it still acts after its trial.
        why: in words.
        returns: of its live episodes.
        former_returns: of the live episodes of the checkpoint before.
        differences: of its actions from those taken, by episode in shadow: root mean square, in
            half ranges.
        steps: robot steps in all.
        episodes: folder of the bags, relative to the run's.
        seeds: of the episodes, in the order of their ids.
    """

    kept: bool
    why: str
    returns: list[float]
    former_returns: list[float]
    differences: list[float]
    steps: int
    episodes: str
    seeds: list[int]


class RoundResult(_Record):
    """One round; round 0 is where the run began and collects nothing.

    Attributes:
        round: its number.
        collection: what was collected.
        episodes, steps: collected since the run began, live ones included.
        gate_steps: robot steps on tuning starts (plans tried, gate) since the run began.
        gate: the comparison; None in round 0 or without a gate.
        live: the trial on the running robot; None without one.
        learner: checkpoint that the next round continues.
        accepted_learner: checkpoint whose training led to the incumbent.
        collector: checkpoint that collects in the next round; empty in older runs, where it was
            the learner.
        incumbent: checkpoint to use, never worse on tuning starts than an earlier one.
        incumbent_digest: of it.
        exploitation: of the incumbent; None where it is not measured.
        next_reach: c of the next round; None for methods without plans.
        seconds: by stage.
    """

    round: int
    collection: Collection | None
    episodes: int
    steps: int
    gate_steps: int
    gate: GateResult | None
    live: LiveResult | None = None
    learner: str
    accepted_learner: str
    collector: str = ""
    incumbent: str
    incumbent_digest: str
    exploitation: Exploitation | None
    next_reach: float | None
    seconds: dict[str, float]


def read_round(folder: Path) -> RoundResult | None:
    """The result of a finished round; None while it is not.

    Raises:
        EpisodeError: the file is damaged.
    """
    path = folder / ROUND_FILE
    if not path.is_file():
        return None
    try:
        return RoundResult.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise EpisodeError(f"{path}: is damaged; remove it to do the round again") from error
