"""How often exploring plans start anew, are interrupted, and end at rest, by what that led to.

Bursts and rests find what no plan leads to, and ruin what a plan is good for: on a maze they are
how the robot first comes to its goal and stays there, a walking robot they only make fall. So after
each round the share of the plans that have an ingredient follows how often episodes with it, and
without it, were among the best of those that began alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# Merit from which on an episode is among the best: as many reach it as should reach their target.
_AMONG_BEST = 0.8
# Episodes of the overall rate that are added to either side, so that few say little.
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
    """An exploring episode: what its plan was made of, and its merit in its round."""

    ingredients: Ingredients
    merit: float


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

    The odds of an ingredient are those it began with times the ratio of the rates at which episodes
    with it and without it were among the best; it neither dies out nor becomes the only one, unless
    it began so.

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
    if not trials or first in (0.0, 1.0):
        return first
    overall = _rate(trials, 0.0)
    if overall == 0.0:
        return first
    ratio = _rate([trial for trial in trials if has(trial.ingredients)], overall)
    ratio /= _rate([trial for trial in trials if not has(trial.ingredients)], overall)
    odds = first / (1.0 - first) * ratio
    least, most = min(first, _LEAST), max(first, 1.0 - _LEAST)
    return min(max(odds / (1.0 + odds), least), most)


def _rate(trials: Sequence[Trial], overall: float) -> float:
    best = sum(trial.merit >= _AMONG_BEST for trial in trials)
    if overall == 0.0:
        return best / len(trials)
    return (best + _PRIOR_EPISODES * overall) / (len(trials) + _PRIOR_EPISODES)
