"""Memory and processor time of a process, as Linux tells them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_CLOCK = os.sysconf("SC_CLK_TCK")
# Fields of /proc/PID/stat behind the command's name: user and system time.
_USER, _SYSTEM = 11, 12


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
        folder = Path("/proc") / str(pid)
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return cls(
            resident=_resident(pid),
            cpu=(int(fields[_USER]) + int(fields[_SYSTEM])) / _CLOCK,
            threads=sum(1 for _ in (folder / "task").iterdir()),
            files=sum(1 for _ in (folder / "fd").iterdir()),
        )


def _resident(pid: int) -> int:
    folder = Path("/proc") / str(pid)
    own = int((folder / "statm").read_text().split()[1]) * _PAGE
    children = (
        child
        for children in (folder / "task").glob("*/children")
        for child in children.read_text().split()
    )
    return own + sum(_resident(int(child)) for child in children)
