"""The goals of online learning, held against the runs that are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gac_ros.bench.online_comparison import (
    Difference,
    Pair,
    but_for_the_seed,
    difference,
    groups,
    lead,
    leads,
)
from gac_ros.bench.online_records import OnlineRecord
from gac_ros.bench.score_goals import ScoreGoal
from gac_ros.online.results import RoundResult

MOST_EPISODES = 300
RIVALS = ("exploit", "prior", "posterior", "cal_ql", "rlpd")
_WEAK_STARTS = ("pointmaze_umaze", "hopper")


def online_goals(records: Sequence[OnlineRecord]) -> list[ScoreGoal]:
    """Every goal, of runs that are complete."""
    runs = [record for record in records if record.complete]
    found = [_rise(robot, _exploring(runs, robot)) for robot in _WEAK_STARTS]
    robots = dict.fromkeys((*_WEAK_STARTS, *(record.robot for record in runs)))
    found += [_never_below(robot, runs) for robot in robots]
    for robot in _WEAK_STARTS:
        ours = _exploring(runs, robot)
        compared = [pairs for pairs in leads(runs) if ours and _is_of(pairs, ours)]
        for rival in RIVALS:
            against = [pairs for pairs in compared if pairs[0].other.strategy == rival]
            found += _ahead(robot, rival, against)
    return found


def _exploring(runs: Sequence[OnlineRecord], robot: str) -> list[OnlineRecord]:
    """The runs of `gac online` that explore; of several settings, those with the most seeds."""
    found = [
        group
        for group in groups(runs)
        if group[0].robot == robot and group[0].method == "explore"
        if group[0].wanted <= MOST_EPISODES
    ]
    return max(found, key=len, default=[])


def _is_of(pairs: Sequence[Pair], group: Sequence[OnlineRecord]) -> bool:
    return but_for_the_seed(pairs[0].one) == but_for_the_seed(group[0])


def _rise(robot: str, group: Sequence[OnlineRecord]) -> ScoreGoal:
    text = f"exploitation rises by more than its interval within {MOST_EPISODES} episodes"
    rise = difference(*_ends(group)) if group else None
    return _beyond_its_interval(robot, text, rise, len(group))


def _never_below(robot: str, runs: Sequence[OnlineRecord]) -> ScoreGoal:
    text = "no run that explores ends below where it began"
    exploring = [run for run in runs if run.robot == robot and run.strategy == "explore"]
    rises = [rise.mean for end in _ends(exploring) if (rise := difference(end)) is not None]
    if not rises:
        return ScoreGoal(robot, text)
    runs_ = "1 run" if len(rises) == 1 else f"{len(rises)} runs"
    return ScoreGoal(
        robot, text, f"{min(rises):+.1f} at the least ({runs_})", met=min(rises) >= 0.0
    )


def _ahead(robot: str, rival: str, compared: Sequence[Sequence[Pair]]) -> Iterator[ScoreGoal]:
    text = f"ahead of {rival} by more than the interval"
    if not compared:
        yield ScoreGoal(robot, text)
    for pairs in compared:
        yield _beyond_its_interval(robot, text, lead(pairs), len(pairs))


def _ends(group: Sequence[OnlineRecord]) -> list[tuple[RoundResult, RoundResult]]:
    return [(record.rounds[0], record.rounds[-1]) for record in group]


def _beyond_its_interval(robot: str, text: str, found: Difference | None, seeds: int) -> ScoreGoal:
    if found is None or found.over_starts is None:
        return ScoreGoal(robot, text)
    return ScoreGoal.ahead(
        robot, text, found.mean, found.over_starts, found.over_seeds, seeds=seeds
    )
