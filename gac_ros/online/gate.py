"""Whether a fine-tuned checkpoint replaces the one that acts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.checkpoint import load_checkpoint
from gac_ros.evaluation.intervals import mean_interval, t_quantile
from gac_ros.lineage import Score, add_score


class GateResult(BaseModel):
    """Candidate against incumbent on the same tuning starts.

    Attributes:
        incumbent_returns, candidate_returns: by start, paired.
        difference: mean of candidate less incumbent.
        lower_bound: of the mean difference, with the gate's confidence; None with one start.
        difference_ci95: of the mean difference, two-sided; None with one start.
        accepted: whether the candidate takes over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    incumbent_returns: list[float]
    candidate_returns: list[float]
    difference: float
    lower_bound: float | None
    difference_ci95: tuple[float, float] | None = None
    accepted: bool

    @property
    def words(self) -> str:
        """Why it was accepted or refused."""
        text = f"{self.difference:+.1f} on {len(self.candidate_returns)} equal starts"
        if self.difference_ci95 is not None:
            low, high = self.difference_ci95
            text += f" (95 % interval {low:+.1f} to {high:+.1f})"
        return text


def judge(incumbent: Sequence[float], candidate: Sequence[float], confidence: float) -> GateResult:
    """Compare paired returns; a draw goes to the incumbent.

    One-sided Student's t on the differences: what a start itself is worth cancels.

    Args:
        incumbent: returns by start.
        candidate: returns on the same starts.
        confidence: how sure the candidate's advantage must be, at least one half.
    """
    differences = np.asarray(candidate, dtype=np.float64) - np.asarray(incumbent)
    mean = float(differences.mean())
    lower = None
    if len(differences) > 1:
        error = float(differences.std(ddof=1)) / math.sqrt(len(differences))
        lower = mean - t_quantile(confidence, len(differences) - 1) * error
    return GateResult(
        incumbent_returns=list(incumbent),
        candidate_returns=list(candidate),
        difference=mean,
        lower_bound=lower,
        difference_ci95=mean_interval(differences.tolist()),
        accepted=mean > 0.0 and (lower is None or lower > 0.0),
    )


def note_gate(gate: GateResult, incumbent: Path, candidate: Path) -> None:
    """Note the candidate's figures beside it, for `gac lineage`."""
    score = Score(
        purpose="gate",
        episodes=len(gate.candidate_returns),
        return_mean=float(np.mean(gate.candidate_returns)),
        return_ci95=mean_interval(gate.candidate_returns),
        against=load_checkpoint(incumbent).digest,
        difference=gate.difference,
    )
    add_score(candidate, score)
