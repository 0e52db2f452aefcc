"""Statistics of features, as LeRobot keeps them for each episode and for the whole."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


@dataclass(frozen=True, eq=False)
class FeatureStatistics:
    """Of the columns of an array (n, F); every field but `count` is float64 (F,)."""

    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]
    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    quantiles: dict[str, NDArray[np.float64]]
    count: int

    @classmethod
    def of(cls, values: NDArray[np.generic]) -> FeatureStatistics:
        """Statistics of an array (n, F) or (n,), n at least 1."""
        columns = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
        found = np.quantile(columns, list(QUANTILES.values()), axis=0)
        return cls(
            minimum=columns.min(axis=0),
            maximum=columns.max(axis=0),
            mean=columns.mean(axis=0),
            variance=columns.var(axis=0),
            quantiles=dict(zip(QUANTILES, found, strict=True)),
            count=len(columns),
        )

    def joined(self, other: FeatureStatistics) -> FeatureStatistics:
        """Of both arrays together; quantiles are, as LeRobot joins them, the weighted mean."""
        count = self.count + other.count
        mine, theirs = self.count / count, other.count / count
        mean = mine * self.mean + theirs * other.mean
        variance = mine * (self.variance + (self.mean - mean) ** 2)
        variance += theirs * (other.variance + (other.mean - mean) ** 2)
        return FeatureStatistics(
            minimum=np.minimum(self.minimum, other.minimum),
            maximum=np.maximum(self.maximum, other.maximum),
            mean=mean,
            variance=variance,
            quantiles={
                name: mine * self.quantiles[name] + theirs * other.quantiles[name]
                for name in QUANTILES
            },
            count=count,
        )

    def to_dict(self) -> dict[str, list[float] | list[int]]:
        """Lists by LeRobot's names."""
        named = {
            "min": self.minimum,
            "max": self.maximum,
            "mean": self.mean,
            "std": np.sqrt(self.variance),
            **self.quantiles,
        }
        return {**{name: values.tolist() for name, values in named.items()}, "count": [self.count]}
