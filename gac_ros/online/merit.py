"""How well an episode went for where it began.

Returns owe a part to the start: a robot that begins at its goal and stays earns most. Drawn by
their returns, such episodes crowd out those that found the way from elsewhere, and their plan, to
stand still, comes out as the best one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_FEWEST_NEIGHBOURS = 16


def merits(starts: NDArray[np.floating], returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share (N,) of the episodes that began most alike whose return is lower, in [0, 1].

    Scaling and shifting the returns changes nothing. The sqrt(N) nearest starts are compared
    with, at least 16 of them.

    Args:
        starts: first observations (N, O), normalised.
        returns: (N,).
    """
    shares = np.zeros(len(returns))
    for row, (own, alike) in enumerate(_alike(starts, returns)):
        shares[row] = (alike < own).mean()
    return shares


def advantages(starts: NDArray[np.floating], returns: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far each episode's return lies above the mean of those that began most alike, (N,).

    At least 0, in units of the sum of two standard deviations: that of the episodes that began
    alike, as by the first alone a single small success among failures would count as much as the
    best of all, and that of all episodes, as by the second alone a lucky start would. It tells a
    long stay at the goal from a passing visit, which `merits` hardly does while most fail. Scaling
    and shifting the returns changes nothing.

    Args:
        starts: first observations (N, O), normalised.
        returns: (N,).
    """
    found = np.zeros(len(returns))
    for row, (own, alike) in enumerate(_alike(starts, returns)):
        everyone = np.append(alike, own)
        above = own - everyone.mean()
        if above > 0.0:
            found[row] = above / (everyone.std() + returns.std())
    return found


def _alike(
    starts: NDArray[np.floating], returns: NDArray[np.float64]
) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """Of each episode, its return and those of the episodes that began most alike."""
    count = len(returns)
    if count < 2:
        return
    neighbours = min(count - 1, max(_FEWEST_NEIGHBOURS, math.isqrt(count)))
    # Start by start, as all distances at once would fill the memory.
    for row in range(count):
        distances = np.square(starts - starts[row]).sum(axis=1)
        distances[row] = np.inf
        # Of starts that are equally near, all count.
        near = distances <= np.partition(distances, neighbours - 1)[neighbours - 1]
        yield returns[row], returns[near]
