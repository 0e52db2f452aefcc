"""Online runs held against where they began, and against each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gac_ros.bench.online_records import OnlineRecord
from gac_ros.evaluation.intervals import mean_interval
from gac_ros.online.results import RoundResult

Interval = tuple[float, float]

# Settings in which strategies that are compared may differ: what is compared, and what only
# exploration uses.
_MAY_DIFFER = {
    *("collect", "episodes", "target", "known_share", "interrupted_share", "rests"),
    *("adapt_shares", "bursts", "known_bursts", "explore_moves"),
}


@dataclass(frozen=True)
class Difference:
    """How far one round's exploitation is above another's, on the same reporting starts.

    Attributes:
        mean: over all starts of all pairs of rounds.
        over_starts: its 95 % interval (Student's t) over the starts; those of one training are
            taken to be independent. None with fewer than two.
        over_seeds: likewise over the means of the pairs, one a training seed; None with one.
    """

    mean: float
    over_starts: Interval | None
    over_seeds: Interval | None


def difference(*pairs: tuple[RoundResult, RoundResult]) -> Difference | None:
    """The second of each pair less the first; None where one has no exploitation."""
    differences: list[list[float]] = []
    for before, after in pairs:
        if before.exploitation is None or after.exploitation is None:
            return None
        starts = zip(before.exploitation.returns, after.exploitation.returns, strict=True)
        differences.append([later - earlier for earlier, later in starts])
    everything = [value for values in differences for value in values]
    means = [float(np.mean(values)) for values in differences]
    return Difference(float(np.mean(everything)), mean_interval(everything), mean_interval(means))


@dataclass(frozen=True)
class Pair:
    """A run that explores and another one, after as many robot steps.

    Attributes:
        one, other: the runs.
        mine, theirs: the rounds that are compared.
        by_episodes: the other run's round and exploring's after as many episodes instead.
    """

    one: OnlineRecord
    other: OnlineRecord
    mine: RoundResult
    theirs: RoundResult
    by_episodes: tuple[RoundResult, RoundResult] | None


def compared(records: Sequence[OnlineRecord]) -> Iterator[Pair]:
    """Exploring and the other strategies, where nothing but the strategy differs, at their end.

    Value-based methods differ in all they do; robot, data, starts and robot steps are the same.
    Rounds end where episodes do: the other one has had as many robot steps, or a few more.
    """
    for record in records:
        if record.config.get("collect") != "explore":
            continue
        for other in records:
            if other.config.get("collect") == "explore" or not _comparable(record, other):
                continue
            found = _last_that_both_have(record, other, lambda result: result.steps)
            if found is not None:
                theirs, mine = found
                by_episodes = _last_that_both_have(record, other, lambda result: result.episodes)
                yield Pair(record, other, mine, theirs, by_episodes)


def _last_that_both_have(
    record: OnlineRecord, other: OnlineRecord, count: Callable[[RoundResult], int]
) -> tuple[RoundResult, RoundResult] | None:
    """The other run's round and ours; the other has had as many, or a few more."""
    most = count(other.rounds[-1])
    ours = [result for result in record.rounds if 0 < count(result) <= most]
    if not ours:
        return None
    return next(r for r in other.rounds if count(r) >= count(ours[-1])), ours[-1]


def groups(records: Sequence[OnlineRecord]) -> list[list[OnlineRecord]]:
    """Complete runs that differ in their seed alone, by seed."""
    found: dict[tuple[str, ...], list[OnlineRecord]] = {}
    for record in records:
        if record.complete:
            found.setdefault(but_for_the_seed(record), []).append(record)
    return [sorted(group, key=lambda record: record.seed) for group in found.values()]


def leads(records: Sequence[OnlineRecord]) -> list[list[Pair]]:
    """Comparisons of complete runs that differ in their seed alone, by seed.

    A value-based run is comparable with `gac online` and with `gac improve`, whose settings
    differ: those are comparisons of their own.
    """
    found: dict[tuple[str, ...], list[Pair]] = {}
    for pair in compared(records):
        if pair.one.complete and pair.other.complete:
            key = (*but_for_the_seed(pair.one), *but_for_the_seed(pair.other))
            found.setdefault(key, []).append(pair)
    return [sorted(pairs, key=lambda pair: pair.one.seed) for pairs in found.values()]


def lead(pairs: Sequence[Pair]) -> Difference | None:
    """How far exploring is ahead over all pairs."""
    return difference(*((pair.theirs, pair.mine) for pair in pairs))


def lead_by_episodes(pairs: Sequence[Pair]) -> Difference | None:
    """Likewise, after as many episodes; None where a pair has none."""
    rounds = [pair.by_episodes for pair in pairs if pair.by_episodes is not None]
    return difference(*rounds) if len(rounds) == len(pairs) else None


def but_for_the_seed(record: OnlineRecord) -> tuple[str, ...]:
    """What runs have in common that differ in their seed alone."""
    config = json.dumps(_switched_on(record.config), sort_keys=True)
    return str(record.robot), str(record.data), config


def _comparable(one: OnlineRecord, other: OnlineRecord) -> bool:
    if "algorithm" in other.config:
        return _circumstances(one) == _circumstances(other) and one.data in (None, other.data)

    def begin(record: OnlineRecord) -> tuple[Any, ...]:
        config = {k: v for k, v in record.config.items() if k not in _MAY_DIFFER}
        return record.seed, record.rounds[0].incumbent_digest, _switched_on(config)

    return begin(one) == begin(other)


def _switched_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without those that are off (0, false, null): runs of before they were known."""
    every = {k: _switched_on(v) if isinstance(v, Mapping) else v for k, v in config.items()}
    return {key: value for key, value in every.items() if value or isinstance(value, dict)}


def _circumstances(record: OnlineRecord) -> tuple[Any, ...]:
    return record.seed, record.robot, record.config.get("evaluation_episodes")
