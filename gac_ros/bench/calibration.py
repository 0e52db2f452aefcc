"""What plans promise against what they achieve, in figures, and the section that shows them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.bench.goals import damaged_measurement, measurement_origin, read_measurement
from gac_ros.bench.markdown import markdown_table

KINDS = ("exploit", "best", "chain", "prior")
_RESAMPLES = 2000
_HEAD = """\
## What plans promise and achieve

`gac bench plans` rolls plans out on tuning starts: the exploited plan, the best plans that it
starts from, chains of episodes and samples of the prior. Spearman's rank correlation of promised
and achieved return says whether the critic ranks them. Over all plans it says for the most part
that the critic tells the kinds apart; within a kind it says whether it ranks plans of that kind.
Its 95 % interval is a percentile bootstrap over the plans, empty where a draw of them may not vary.
One training seed each.
"""


@dataclass(frozen=True)
class Calibration:
    """Plans, or those of one kind.

    Attributes:
        plans: how many.
        predicted_mean, achieved_mean: returns.
        rank_correlation: Spearman's between them; None where one of them does not vary.
        interval: its 95 % interval, by a bootstrap over plans; None where a draw does not vary.
    """

    plans: int
    predicted_mean: float
    achieved_mean: float
    rank_correlation: float | None
    interval: tuple[float, float] | None


def calibrate(predicted: Sequence[float], achieved: Sequence[float]) -> Calibration:
    """Figures of at least one plan; the same plans give the same interval."""
    promised, kept = np.asarray(predicted, np.float64), np.asarray(achieved, np.float64)
    correlation = rank_correlation(promised, kept)
    return Calibration(
        plans=len(promised),
        predicted_mean=float(promised.mean()),
        achieved_mean=float(kept.mean()),
        rank_correlation=correlation,
        interval=None if correlation is None else _bootstrap(promised, kept),
    )


def rank_correlation(one: NDArray[np.float64], two: NDArray[np.float64]) -> float | None:
    """Spearman's, equal values sharing their mean rank; None where one does not vary."""
    from scipy.stats import spearmanr

    if len(one) < 3 or not np.ptp(one) or not np.ptp(two):
        return None
    return float(spearmanr(one, two).statistic)


def _bootstrap(one: NDArray[np.float64], two: NDArray[np.float64]) -> tuple[float, float] | None:
    from scipy.stats import bootstrap, pearsonr, rankdata

    def spearman(a: NDArray[np.float64], b: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        found = pearsonr(rankdata(a, axis=axis), rankdata(b, axis=axis), axis=axis)
        return np.asarray(found.statistic, np.float64)

    with warnings.catch_warnings():
        # A draw that does not vary has no correlation. To leave it out would bias what is left, so
        # there is no interval then.
        warnings.simplefilter("ignore")
        found = bootstrap(
            (one, two), spearman, paired=True, n_resamples=_RESAMPLES, method="percentile", rng=0
        )
    low, high = found.confidence_interval
    return (float(low), float(high)) if np.isfinite([low, high]).all() else None


def plans_section(results: Path, folder: str) -> Iterator[str]:
    """Lines of the section; none without a file.

    Args:
        results: folder of the files and of their pictures.
        folder: the same, relative to the page.

    Raises:
        EpisodeError: a file is damaged.
    """
    files = sorted(results.glob("plans_*.json"))
    if not files:
        return
    yield from _HEAD.splitlines()
    yield ""
    for file in files:
        content = read_measurement(file)
        try:
            rows = list(_rows(content["plans"]))
        except (KeyError, TypeError, ValueError) as error:
            raise damaged_measurement(file, error) from error
        yield measurement_origin(file, content)
        yield ""
        headings = ("plans", "how many", "promised", "achieved", "rank correlation", "95 %")
        yield from markdown_table(headings, rows)
        for picture in sorted(results.glob(f"{file.stem}_*.png")):
            yield f"![{picture.stem.replace('_', ' ')}]({folder}/{picture.name})"
            yield ""


def _rows(plans: Sequence[dict[str, Any]]) -> Iterator[list[str]]:
    for kind in (*KINDS, "all"):
        some = [plan for plan in plans if kind in (plan["kind"], "all")]
        if not some:
            continue
        predicted = [float(plan["predicted"]) for plan in some]
        found = calibrate(predicted, [float(np.mean(plan["returns"])) for plan in some])
        rho, interval = found.rank_correlation, found.interval
        yield [
            kind,
            str(found.plans),
            f"{found.predicted_mean:.1f}",
            f"{found.achieved_mean:.1f}",
            "" if rho is None else f"{rho:.2f}",
            "" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}",
        ]
