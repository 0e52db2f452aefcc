"""Wall-clock and processor time of a piece of work."""

from __future__ import annotations

import time

from pydantic import BaseModel, ConfigDict


class Times(BaseModel):
    """Seconds of wall-clock time and of processor time (all threads together)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    wall: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Times) -> Times:
        return Times(wall=self.wall + other.wall, cpu=self.cpu + other.cpu)

    def __sub__(self, other: Times) -> Times:
        return Times(wall=self.wall - other.wall, cpu=self.cpu - other.cpu)


class Stopwatch:
    """Runs from when it is made; of this process, without its children."""

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.process_time()

    def read(self) -> Times:
        """Time so far."""
        return Times(wall=time.perf_counter() - self._wall, cpu=time.process_time() - self._cpu)
