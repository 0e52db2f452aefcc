"""Episodes laid end to end, and training windows cut from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.normalization import Normalizer


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows from each of B episodes; L = burn_in + length positions each.

    Attributes:
        observations: (B, W, L, O), the dtype of the arrays they come from.
        actions: (B, W, L, A).
        steps: int64 (B, W, L), index in the episode; negative before its start.
        present: bool (B, W, L), whether the step exists: 0 <= step < T. Elsewhere observations
            and actions are 0.
        scored: bool (B, W, L), present, valid, and among the last `length` positions. The others
            are context.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    steps: NDArray[np.int64]
    present: NDArray[np.bool_]
    scored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EpisodeArrays:
    """N episodes laid end to end.

    Attributes:
        observations: (sum(T + 1), O).
        actions: (sum(T), A).
        valid: bool (sum(T),).
        lengths: int64 (N,), the number of actions T of each episode.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    valid: NDArray[np.bool_]
    lengths: NDArray[np.int64]

    @cached_property
    def action_offsets(self) -> NDArray[np.int64]:
        """Where each episode starts in `actions` and `valid`, int64 (N,)."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def observation_offsets(self) -> NDArray[np.int64]:
        """Where each episode starts in `observations`, int64 (N,)."""
        return self.action_offsets + np.arange(len(self.lengths))

    def windows(
        self,
        episode_indices: NDArray[np.int64],
        starts: NDArray[np.int64],
        *,
        burn_in: int,
        length: int,
    ) -> Windows:
        """Cut windows; no Python loop.

        Args:
            episode_indices: int64 (B,), each in [0, N).
            starts: int64 (B, W), the step of the first scored position; windows may reach over
                both ends of the episode.
            burn_in: positions of context before the scored ones.
            length: scored positions.
        """
        positions = np.arange(-burn_in, length)
        steps = np.asarray(starts, dtype=np.int64)[:, :, None] + positions
        last = self.lengths[episode_indices][:, None, None] - 1
        present = (steps >= 0) & (steps <= last)
        inside = np.clip(steps, 0, last)
        in_actions = inside + self.action_offsets[episode_indices][:, None, None]
        in_observations = inside + self.observation_offsets[episode_indices][:, None, None]
        observations = np.take(self.observations, in_observations, axis=0)
        actions = np.take(self.actions, in_actions, axis=0)
        absent = ~present
        observations[absent] = 0
        actions[absent] = 0
        scored = present & np.take(self.valid, in_actions) & (positions >= 0)
        return Windows(observations, actions, steps, present, scored)


@dataclass(frozen=True, eq=False)
class NormalizedEpisodes:
    """Episodes as the model sees them: float32, normalised when they are looked at.

    Attributes:
        arrays: as recorded.
        normalizer: how the model sees them.
        returns: float64 (N,), standardised; NaN without a label.
    """

    arrays: EpisodeArrays
    normalizer: Normalizer
    returns: NDArray[np.float64]

    @property
    def first_observations(self) -> NDArray[np.float32]:
        """Of each episode, (N, O)."""
        first = self.arrays.observations[self.arrays.observation_offsets]
        return self.normalizer.normalize_observation(first)

    def windows(
        self,
        episode_indices: NDArray[np.int64],
        starts: NDArray[np.int64],
        *,
        burn_in: int,
        length: int,
    ) -> Windows:
        """Windows as the model sees them; see `EpisodeArrays.windows`."""
        windows = self.arrays.windows(episode_indices, starts, burn_in=burn_in, length=length)
        observations = self.normalizer.normalize_observation(windows.observations)
        actions = self.normalizer.normalize_action(windows.actions)
        observations[~windows.present] = 0
        actions[~windows.present] = 0
        return replace(windows, observations=observations, actions=actions)


def stratified_starts(
    lengths: NDArray[np.int64], windows: int, length: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Starts of windows spread over each episode, for an unbiased mean over its steps.

    The starts of all windows that touch an episode of T steps, -(length - 1) to T - 1, are cut
    into W equal strata, and one start is drawn uniformly in each. So every step of the episode,
    the first and the last included, is expected in exactly W * length / (T + length - 1) windows:
    (T + length - 1) / (W * length) times the sum over scored positions is an unbiased estimate of
    the sum over the episode. The price is that windows at the ends are partly outside; each has
    at least one step inside, also in episodes shorter than a window, and what is outside is not
    scored.

    Args:
        lengths: int64 (B,), steps T of each episode.
        windows: windows W of each episode.
        length: scored positions of a window.
        rng: source of randomness.

    Returns:
        int64 (B, W), ascending along W; for `EpisodeArrays.windows`.
    """
    span = (np.asarray(lengths, dtype=np.int64) + length - 1)[:, None]
    place = (np.arange(windows) + rng.random((len(lengths), windows))) / windows
    # Rounding may lift a place to 1.0.
    return np.minimum((place * span).astype(np.int64), span - 1) - (length - 1)
