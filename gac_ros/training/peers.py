"""The processes that train one model together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def _alone(tensor: Tensor) -> Tensor:
    return tensor


@dataclass(frozen=True)
class Peers:
    """This process among those that train one model together; by default it is alone.

    Every process draws the same batches and the same noise, and works on the episodes that are
    its own: chains are sharded by episode.

    Attributes:
        rank: of this process; 0 writes the run's files.
        count: of processes.
        total: sum of a tensor over the processes, in which all must take part in the same order.
    """

    rank: int = 0
    count: int = 1
    total: Callable[[Tensor], Tensor] = _alone

    def own(self, episodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions in `episodes` (B,) of those that are this process's."""
        return np.flatnonzero(episodes % self.count == self.rank)

    def wait(self) -> None:
        """Return when every process is here."""
        self.total(torch.zeros(1))
