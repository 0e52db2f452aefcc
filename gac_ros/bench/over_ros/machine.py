"""What the machine did beside a measurement: for others, and when it stood still."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.over_ros.usage import descendants

_CLOCK = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
# Fields of the first line of /proc/stat, behind "cpu".
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, interrupts
_STOLEN = 7
# Fields of /proc/PID/stat behind the command's name: own time and that of children that have ended.
_TIMES = slice(11, 15)

Stalls = NDArray[np.float64]


class MachineLoad(BaseModel):
    """Who else used the machine, as processors' worth on average.

    Attributes:
        others: by processes that do not belong to the measurement.
        stolen: by other machines of the same hypervisor.
        processors: that there are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    others: float
    stolen: float
    processors: int


class LoadMeter:
    """Adds up the machine's load over some times.

    The measurement is this process and its descendants; they should not end while it counts.
    """

    def __init__(self) -> None:
        self._counted: list[NDArray[np.float64]] = []

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count while the context lasts."""
        begun = _times()
        yield
        self._counted.append(_times() - begun)

    def load(self) -> MachineLoad:
        """Of all the time that was counted, which must be some."""
        return self._of(slice(None))

    def start_and_end(self) -> tuple[MachineLoad, MachineLoad]:
        """Of the second and of the last tenth of the times that were counted."""
        start, end = second_and_last_tenth(len(self._counted))
        return self._of(start), self._of(end)

    def _of(self, part: slice) -> MachineLoad:
        others, stolen, seconds = np.sum(self._counted[part], axis=0)
        return MachineLoad(
            others=max(0.0, others / seconds),
            stolen=stolen / seconds,
            processors=os.cpu_count() or 1,
        )


def second_and_last_tenth(count: int) -> tuple[slice, slice]:
    """Where they are in a row of measurements: what has settled, and what it came to.

    Of a few measurements there may be no second tenth: the first one stands for it.
    """
    tenth = max(1, count // 10)
    return slice(tenth, 2 * tenth) if count > tenth else slice(0, 1), slice(-tenth, None)


def _times() -> NDArray[np.float64]:
    """Processor seconds of others and stolen ones, and the time, all since some beginning."""
    numbers = [int(field) for field in (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]]
    own = sum(_processor_seconds(pid) for pid in descendants(os.getpid()))
    busy = sum(numbers[index] for index in _BUSY) / _CLOCK
    uptime = float((_PROC / "uptime").read_text().split()[0])
    return np.array([busy - own, numbers[_STOLEN] / _CLOCK, uptime])


def _processor_seconds(pid: int) -> float:
    fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[_TIMES]) / _CLOCK


def merged(stalls: Iterable[tuple[float, float]]) -> Stalls:
    """The same times as (N, 2), in order, none overlapping."""
    found: list[list[float]] = []
    for begin, end in sorted((begin, end) for begin, end in stalls):
        if found and begin <= found[-1][1]:
            found[-1][1] = max(found[-1][1], end)
        else:
            found.append([begin, end])
    return np.array(found).reshape(-1, 2)


def common(processors: Sequence[Stalls]) -> Stalls:
    """Times (N, 2) at which all of the processors stood still at once.

    Args:
        processors: the times of each, as `merged` returns them.
    """
    rows = np.concatenate([merged(()), *processors])
    times = rows.T.ravel()
    steps = np.repeat([1, -1], len(rows))
    order = np.lexsort((steps, times))  # what ends when another begins did not overlap it
    begins = np.flatnonzero(steps[order].cumsum() == max(1, len(processors)))
    return np.column_stack((times[order][begins], times[order][begins + 1]))


def standstill(
    stalls: Stalls, begin: NDArray[np.float64], end: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Seconds (N,) of standing still within each of N times.

    Args:
        stalls: as `merged` returns them.
        begin: (N,) of the times that are looked at.
        end: (N,) of them.
    """
    if len(stalls) == 0:
        return np.zeros(len(begin))
    until = (stalls[:, 1] - stalls[:, 0]).cumsum()
    sums = np.column_stack((np.concatenate(([0.0], until[:-1])), until)).ravel()
    times = stalls.ravel()
    return np.interp(end, times, sums) - np.interp(begin, times, sums)
