"""Normalisation of observations, actions and returns; it travels inside the checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.episode import Episode
from gac_ros.errors import ConfigurationError

# A field that hardly varies is centred, not blown up. Relative to nothing: SI units are near 1.
_SMALLEST_STD = 1e-3


@dataclass(frozen=True)
class Normalizer:
    """Standardises observations and returns, and maps actions to [-1, 1] by their limits.

    Attributes:
        observation_mean: (O,)
        observation_std: (O,), at least 1e-3.
        action_center: (A,)
        action_half_range: (A,)
        return_mean: mean return of the data.
        return_std: its standard deviation, at least 1e-3.
        return_max: best return in the data (in its own units).
    """

    observation_mean: NDArray[np.float64]
    observation_std: NDArray[np.float64]
    action_center: NDArray[np.float64]
    action_half_range: NDArray[np.float64]
    return_mean: float
    return_std: float
    return_max: float

    @classmethod
    def fit(
        cls,
        episodes: Sequence[Episode],
        action_low: NDArray[np.float64],
        action_high: NDArray[np.float64],
    ) -> Normalizer:
        """Statistics of labelled episodes; action limits come from the embodiment.

        Raises:
            ConfigurationError: no episode has a return.
        """
        returns = [e.episode_return for e in episodes if e.episode_return is not None]
        if not returns:
            raise ConfigurationError(
                "no episode has a return; label the episodes or set the embodiment's 'return'"
            )
        observations = np.concatenate([e.observations[:-1][e.valid] for e in episodes])
        return cls(
            observation_mean=observations.mean(axis=0),
            observation_std=np.maximum(observations.std(axis=0), _SMALLEST_STD),
            action_center=(np.asarray(action_low) + action_high) / 2.0,
            action_half_range=(np.asarray(action_high) - action_low) / 2.0,
            return_mean=float(np.mean(returns)),
            return_std=max(float(np.std(returns)), _SMALLEST_STD),
            return_max=float(np.max(returns)),
        )

    def normalize_observation(self, observation: NDArray[np.float64]) -> NDArray[np.float32]:
        """Standardised observation(s), float32 of shape (..., O)."""
        standardized = (observation - self.observation_mean) / self.observation_std
        return standardized.astype(np.float32)

    def normalize_action(self, action: NDArray[np.float64]) -> NDArray[np.float32]:
        """Action(s) in [-1, 1], float32 of shape (..., A)."""
        return ((action - self.action_center) / self.action_half_range).astype(np.float32)

    def denormalize_action(self, action: NDArray[np.float32]) -> NDArray[np.float64]:
        """Action(s) in their own units, float64 of shape (..., A)."""
        return action.astype(np.float64) * self.action_half_range + self.action_center

    def normalize_return(self, value: float | NDArray[np.float64]) -> Any:
        """Standardised return(s)."""
        return (value - self.return_mean) / self.return_std

    def denormalize_return(self, value: float | NDArray[np.float64]) -> Any:
        """Return(s) in their own units."""
        return value * self.return_std + self.return_mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; floats keep every digit."""
        return {
            key: value.tolist() if isinstance(value, np.ndarray) else value
            for key, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Normalizer:
        """Inverse of `to_dict`."""
        values: dict[str, Any] = {
            key: np.array(value, dtype=np.float64) if isinstance(value, list) else float(value)
            for key, value in content.items()
        }
        return cls(**values)
