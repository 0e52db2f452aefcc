"""Memory and processor time of a process, as Linux tells them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ALL_THREADS = 2  # which of a process's clocks: CPUCLOCK_SCHED of the kernel


@dataclass(frozen=True)
class Usage:
    """Of one process.

    Attributes:
        resident: bytes, those of its child processes included.
        cpu: processor seconds.
        threads: their number.
        files: that are open.
    """

    resident: int
    cpu: float
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        """What a running process uses now.

        Raises:
            OSError: there is no such process.
        """
        folder = _PROC / str(pid)
        return cls(
            resident=_resident(pid),
            cpu=_processor_seconds(pid),
            threads=sum(1 for _ in (folder / "task").iterdir()),
            files=sum(1 for _ in (folder / "fd").iterdir()),
        )


def descendants(pid: int) -> list[int]:
    """A process and all that it started, directly or not."""
    children = (
        int(child)
        for children in (_PROC / str(pid) / "task").glob("*/children")
        for child in children.read_text().split()
    )
    return [pid, *(one for child in children for one in descendants(child))]


class RunQueue:
    """Watches how long a process's main thread runs, and how long it waits for a processor.

    The kernel tells both to the nanosecond. A context manager.
    """

    def __init__(self, pid: int) -> None:
        self._file = (_PROC / str(pid) / "schedstat").open("rb", buffering=0)

    def read(self) -> tuple[float, float]:
        """Seconds since the process began: running, and ready to run but without a processor."""
        self._file.seek(0)
        ran, waited, _ = self._file.read().split()
        return 1e-9 * int(ran), 1e-9 * int(waited)

    def close(self) -> None:
        """Watch no more."""
        self._file.close()

    def __enter__(self) -> RunQueue:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def scheduled(pid: int) -> NDArray[np.float64]:
    """As `RunQueue.read`, (2,), of all of a process's threads together."""
    threads = (_PROC / str(pid) / "task").glob("*/schedstat")
    numbers = [[int(number) for number in file.read_text().split()[:2]] for file in threads]
    return 1e-9 * np.array(numbers, dtype=np.float64).sum(axis=0)


def _processor_seconds(pid: int) -> float:
    """To the nanosecond, as some ticks take less than the hundredths that /proc tells."""
    return time.clock_gettime(~pid << 3 | _ALL_THREADS)  # as clock_getcpuclockid(3)


def _resident(pid: int) -> int:
    return sum(
        int((_PROC / str(one) / "statm").read_text().split()[1]) * _PAGE for one in descendants(pid)
    )
