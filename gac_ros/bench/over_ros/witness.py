"""Notes when a processor stands still. Run as a process, one for each processor.

`python -m gac_ros.bench.over_ros.witness PROCESSOR`

It sleeps a millisecond at a time with a real-time priority. No ordinary process can keep it from
waking, nothing of what is measured above all: when it wakes late, the machine itself (its kernel,
its hypervisor) stood still. Where it may not have that priority its word is worth nothing, and it
says so.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from gac_ros.bench.over_ros.machine import Stalls, merged

_PERIOD = 1e-3  # s
_LATE = 5e-4  # s
_PRIORITY = 90
_TRUSTED = "real-time priority"
_UNTRUSTED = "ordinary priority"


def main(arguments: list[str]) -> None:
    """Print begin and end of each standstill, in seconds of the performance counter."""
    os.sched_setaffinity(0, {int(arguments[0])})
    gc.disable()
    with suppress(KeyboardInterrupt):
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(_PRIORITY))
        except PermissionError:
            print(_UNTRUSTED, flush=True)
            signal.pause()
        print(_TRUSTED, flush=True)
        _watch()


def _watch() -> None:
    while True:
        due = time.perf_counter() + _PERIOD
        time.sleep(_PERIOD)
        now = time.perf_counter()
        if now - due > _LATE:
            print(f"{due:.6f} {now:.6f}", flush=True)


def read_witnesses(logs: Iterable[Path]) -> list[Stalls] | None:
    """What each witness saw, as `merged`; None when one saw nothing for want of priority.

    Args:
        logs: of their outputs.
    """
    processors: list[Stalls] = []
    for log in logs:
        head, *lines = log.read_text(encoding="utf-8").splitlines() or [""]
        if head != _TRUSTED:
            return None
        stalls = [line.split() for line in lines]
        processors.append(merged((float(begin), float(end)) for begin, end in stalls))
    return processors


if __name__ == "__main__":
    main(sys.argv[1:])
