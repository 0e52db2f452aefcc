"""How often exploring plans start anew, are interrupted, and end at rest, by what that led to.

Bursts and rests find what no plan leads to, and ruin what a plan is good for: on a maze they are
how the robot first comes to its goal and stays there, a walking robot they only make fall. So after
each round the share of the plans that have an ingredient follows how often episodes with it, and
without it, were the best of those that began alike. Not how well they went on average: most of what
explores fails, and is worth it for the few that do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Standard errors by which the two rates must differ: chance moves no share.
_CERTAIN = 2.0
# Episodes of the overall rate that are added to either side, so that none is no proof of never.
_PRIOR_EPISODES = 5.0
# Neither side of an ingredient dies out, as what it is good for may change.
_LEAST = 0.1


@dataclass(frozen=True)
class Ingredients:
    """What an exploring plan was made of.

    Attributes:
        known: it started at a known plan.
        interrupted: bursts of random actions interrupted it.
        rested: it ended at a random step, from which on the robot was let go.
    """

    known: bool
    interrupted: bool
    rested: bool

    @classmethod
    def of(cls, plan: dict[str, Any]) -> Ingredients | None:
        """Of a recorded plan; None of one that did not explore, or does not say where it began."""
        if plan.get("mode") != "explore" or plan.get("from_known") is None:
            return None
        bursts = plan.get("bursts") or {}
        return cls(
            known=bool(plan["from_known"]),
            interrupted=bursts.get("rate", 0.0) > 0.0,
            rested=bursts.get("rest_from") is not None,
        )


@dataclass(frozen=True)
class Trial:
    """An exploring episode.

    Attributes:
        ingredients: what its plan was made of.
        best: whether no episode of its round that began alike had as high a return.
    """

    ingredients: Ingredients
    best: bool


@dataclass(frozen=True)
class Mixture:
    """Shares of exploring plans, once returns differ.

    Attributes:
        known: start at a known plan.
        interrupted: of those, are interrupted by bursts.
        rests: of all, end at rest.
    """

    known: float
    interrupted: float
    rests: float

    @property
    def words(self) -> str:
        """For a person."""
        return (
            f"{self.known:.0%} of the exploring plans start at a known one, {self.interrupted:.0%} "
            f"of those are interrupted, {self.rests:.0%} of all end at rest"
        )


def adapt(first: Mixture, trials: Sequence[Trial]) -> Mixture:
    """The shares of the coming round.

    Where the rates at which episodes with an ingredient and without it were the best differ by more
    than two standard errors, its odds are those it began with times the ratio of the rates; else it
    keeps its first share. It neither dies out nor becomes the only one, unless it began so.

    Args:
        first: shares of the first round.
        trials: of all rounds so far in which there was a choice.
    """
    known = [trial for trial in trials if trial.ingredients.known]
    return Mixture(
        known=_share(first.known, trials, lambda made: made.known),
        interrupted=_share(first.interrupted, known, lambda made: made.interrupted),
        rests=_share(first.rests, trials, lambda made: made.rested),
    )


def _share(first: float, trials: Sequence[Trial], has: Callable[[Ingredients], bool]) -> float:
    with_it = [trial.best for trial in trials if has(trial.ingredients)]
    without = [trial.best for trial in trials if not has(trial.ingredients)]
    if first in (0.0, 1.0) or not with_it or not without:
        return first
    overall = sum(trial.best for trial in trials) / len(trials)
    error = math.sqrt(overall * (1.0 - overall) * (1.0 / len(with_it) + 1.0 / len(without)))
    difference = sum(with_it) / len(with_it) - sum(without) / len(without)
    if abs(difference) <= _CERTAIN * error:
        return first
    odds = first / (1.0 - first) * _rate(with_it, overall) / _rate(without, overall)
    least, most = min(first, _LEAST), max(first, 1.0 - _LEAST)
    return min(max(odds / (1.0 + odds), least), most)


def _rate(best: Sequence[bool], overall: float) -> float:
    return (sum(best) + _PRIOR_EPISODES * overall) / (len(best) + _PRIOR_EPISODES)
