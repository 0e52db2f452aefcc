"""PyTorch's threads while one robot is controlled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch on one processor thread, as the controller node does.

    More threads slow a model of this size down (they mostly wait for each other), and sums that
    are split among threads round differently.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
