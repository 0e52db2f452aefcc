"""Tell a recording that is going on from one that was cut off.

Whoever writes a bag holds a lock on its file. The system gives it up when the process ends,
however that happens, so no clock and no process number has to be trusted.
"""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO


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


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock of a file."""
    try:
        with path.open("rb") as stream:
            return not try_lock(stream)
    except OSError:
        return False
