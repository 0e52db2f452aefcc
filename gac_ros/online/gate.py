"""Whether a fine-tuned checkpoint replaces the one that acts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.evaluation.intervals import t_quantile


class GateResult(BaseModel):
    """Candidate against incumbent on the same tuning starts.

    Attributes:
        incumbent_returns, candidate_returns: by start, paired.
        difference: mean of candidate less incumbent.
        lower_bound: of the mean difference, with the gate's confidence; None with one start.
        accepted: whether the candidate takes over.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    incumbent_returns: list[float]
    candidate_returns: list[float]
    difference: float
    lower_bound: float | None
    accepted: bool


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
        accepted=mean > 0.0 and (lower is None or lower > 0.0),
    )
