"""Why ticks were missed: the machine stood still, others had the processor, or it was too slow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.over_ros.machine import Stalls, standstill
from gac_ros.bench.over_ros.stand import Exchanges

Cause = Literal["standstill", "waiting", "other"]


class LateTick(BaseModel):
    """A command that came when the next state was due already; all in milliseconds.

    Attributes:
        period: in which it should have come.
        took: from the state to the command.
        stood_still: of these, a processor stood still; 0 where nobody may watch.
        waited: the answering process's main thread, or the stand's, was ready but had no processor.
        ran: the answering one had one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    period: float
    took: float
    stood_still: float
    waited: float
    ran: float

    @property
    def cause(self) -> Cause:
        """Without what it would have been in time; `other` when neither alone explains it."""
        if self.took - self.stood_still < self.period:
            return "standstill"
        if self.took - self.waited < self.period:
            return "waiting"
        return "other"


def late_ticks(found: Exchanges, stalls: Stalls) -> list[LateTick]:
    """The late ones of exchanges that were `watched` and had a period."""
    assert found.period is not None
    scheduled = np.array(found.scheduled).reshape(-1, 2, 2)
    spent = scheduled[:, 1] - scheduled[:, 0]
    return [
        LateTick(
            period=1e3 * found.period,
            took=1e3 * took,
            stood_still=1e3 * standstill(stalls, sent, sent + took),
            waited=1e3 * waited,
            ran=1e3 * ran,
        )
        for took, sent, (ran, waited) in zip(found.seconds, found.sent, spent, strict=True)
        if took >= found.period
    ]


def count_causes(late: Iterable[LateTick]) -> dict[Cause, int]:
    """How many there are of each cause."""
    counts: dict[Cause, int] = {"standstill": 0, "waiting": 0, "other": 0}
    for tick in late:
        counts[tick.cause] += 1
    return counts
