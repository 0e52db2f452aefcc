"""Why ticks were missed: the machine stood still, others had the processor, or it was too slow."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.over_ros.machine import Stalls, common, merged, standstill
from gac_ros.bench.over_ros.stand import Exchanges

Cause = Literal["standstill", "waiting", "other"]


class LateTick(BaseModel):
    """A command that came when the next state was due already; all in milliseconds.

    Attributes:
        period: in which it should have come.
        took: from the state to the command.
        stood_still: of these, one processor or another stood still; 0 where nobody may watch.
        all_stood_still: all of them did at once; None in measurements that did not tell them apart.
        waited: the answering process's main thread, or the stand's, was ready but had no processor.
        ran: the answering one had one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: float
    took: float
    stood_still: float
    waited: float
    ran: float
    all_stood_still: float | None = None

    @property
    def cause(self) -> Cause:
        """Without what it would have been in time; `other` when neither alone explains it.

        A standstill of one processor excuses nothing, as the tick may have run on another; where
        it is not known of all, it is that of one.
        """
        known = self.all_stood_still
        if self.took - (self.stood_still if known is None else known) < self.period:
            return "standstill"
        if self.took - self.waited < self.period:
            return "waiting"
        return "other"


def late_ticks(found: Exchanges, processors: Sequence[Stalls]) -> list[LateTick]:
    """The late ones of exchanges that were `watched` and had a period.

    Args:
        found: the exchanges.
        processors: when each stood still; empty where nobody may watch.
    """
    assert found.period is not None
    sent, took = np.array(found.sent), np.array(found.seconds)
    by_any = standstill(merged(chain.from_iterable(processors)), sent, sent + took)
    by_all = standstill(common(processors), sent, sent + took)
    scheduled = np.array(found.scheduled).reshape(-1, 2, 2)
    spent = scheduled[:, 1] - scheduled[:, 0]
    return [
        LateTick(
            period=1e3 * found.period,
            took=1e3 * took[index],
            stood_still=1e3 * by_any[index],
            waited=1e3 * spent[index, 1],
            ran=1e3 * spent[index, 0],
            all_stood_still=1e3 * by_all[index],
        )
        for index in np.flatnonzero(took >= found.period)
    ]


def in_time_stood_still(
    found: Exchanges, processors: Sequence[Stalls], late: Iterable[LateTick]
) -> float | None:
    """How common a standstill is that is said to have made a command late.

    Returns:
        Share of the commands in time in whose period all processors stood still for at least as
        long as for the shortest time that excuses one of the `late`; None: none is excused.
    """
    assert found.period is not None
    excuses = [tick.all_stood_still or 0.0 for tick in late if tick.cause == "standstill"]
    sent = np.array(found.sent)[np.array(found.seconds) < found.period]
    if not (excuses and len(sent)):
        return None
    stood_still = 1e3 * standstill(common(processors), sent, sent + found.period)
    return float((stood_still >= min(excuses)).mean())


def count_causes(late: Iterable[LateTick]) -> dict[Cause, int]:
    """How many there are of each cause."""
    counts: dict[Cause, int] = {"standstill": 0, "waiting": 0, "other": 0}
    for tick in late:
        counts[tick.cause] += 1
    return counts


def stood_still_told_apart(late: Iterable[LateTick]) -> bool:
    """Whether it is known when all processors stood still, not only one or another."""
    return all(tick.all_stood_still is not None for tick in late)
