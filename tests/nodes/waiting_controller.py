"""The controller with a disk that stands still, and rehearsals that are told. Run as a process.

Opening a bag takes until somebody writes to the named pipe `gate` beside the recordings' folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from gac_ros.buffer import recorder
from gac_ros.nodes.controller import main
from gac_ros.policy import Policy

GATE = "gate"
REHEARSED = "rehearsed"


def stand_still() -> None:
    """Have the recorder's thread wait in the system, as it does for a disk."""
    writer = recorder.EpisodeWriter

    def open_slowly(directory: Path, *arguments: Any, **more: Any) -> Any:
        (directory.parent / GATE).open().close()
        return writer(directory, *arguments, **more)

    recorder.EpisodeWriter = open_slowly  # type: ignore[misc, assignment]


def tell_rehearsals() -> None:
    """Print a line for each of them, and fail in every second one."""
    rehearse = Policy.rehearse
    calls = [0]

    def told(self: Policy) -> None:
        rehearse(self)
        print(REHEARSED, flush=True)
        calls[0] += 1
        if calls[0] % 2:
            raise ArithmeticError("the matrix is singular")

    Policy.rehearse = told  # type: ignore[method-assign]


if __name__ == "__main__":
    stand_still()
    tell_rehearsals()
    sys.exit(main())
