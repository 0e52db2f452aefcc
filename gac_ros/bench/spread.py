"""Several measurements of one figure, in short."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict


class Spread(BaseModel):
    """Median and tails of repeated measurements, in their unit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    median: float
    low: float
    high: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float] | np.ndarray[tuple[int], np.dtype[np.float64]]) -> Spread:
        """Of at least one measurement."""
        numbers = np.asarray(values, dtype=np.float64)
        return cls(
            median=float(np.median(numbers)),
            low=float(numbers.min()),
            high=float(numbers.max()),
            p99=float(np.percentile(numbers, 99.0)),
            count=len(numbers),
        )
