"""Tell a recording that is going on from one that was cut off.

Whoever writes a bag holds a lock on its file. The system gives it up when the process ends,
however that happens, so no clock and no process number has to be trusted.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import IO

# Where the file system knows no locks, what was written to so lately, in seconds, is in use.
_QUIET = 60.0


def take_lock(stream: IO[bytes]) -> None:
    """Take the lock of a file of our own until it is closed; whoever only looks is waited for.

    Where the file system knows no locks there is none.
    """
    with suppress(OSError):
        fcntl.flock(stream, fcntl.LOCK_EX)


def try_lock(stream: IO[bytes] | int) -> bool:
    """Take the lock of an open file or directory until it is closed; False when it is taken.

    Where the file system knows no locks everybody gets one.
    """
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def in_use(stream: IO[bytes]) -> bool:
    """Whether a process holds the lock of a file, which may be open for reading only."""
    try:
        # Shared: NFS gives exclusive locks only to those who may write, and two who look at once
        # must not take each other for a recording.
        fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return time.time() - os.fstat(stream.fileno()).st_mtime < _QUIET
    return False


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file; see `in_use`."""
    try:
        with path.open("rb") as stream:
            return in_use(stream)
    except OSError:
        return False
