"""How well an episode went for where it began.

Returns owe a part to the start: a robot that begins at its goal and stays earns most. Drawn by
their returns, such episodes crowd out those that found the way from elsewhere, and their plan, to
stand still, comes out as the best one.
"""

from __future__ import annotations

import math

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
    count = len(returns)
    if count < 2:
        return np.zeros(count)
    neighbours = min(count - 1, max(_FEWEST_NEIGHBOURS, math.isqrt(count)))
    shares = np.empty(count)
    # Start by start, as all distances at once would fill the memory.
    for row in range(count):
        distances = np.square(starts - starts[row]).sum(axis=1)
        distances[row] = np.inf
        # Of starts that are equally near, all count.
        near = distances <= np.partition(distances, neighbours - 1)[neighbours - 1]
        shares[row] = (returns[near] < returns[row]).mean()
    return shares
