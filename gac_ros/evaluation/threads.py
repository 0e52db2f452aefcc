"""Threads of PyTorch and NumPy while one robot is controlled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits


@contextmanager
def one_thread() -> Iterator[None]:
    """Run PyTorch and NumPy on one processor thread, as the controller node does.

    More threads slow a model of this size down (they mostly wait for each other), and sums that
    are split among threads round differently.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)
