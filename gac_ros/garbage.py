"""Spares a process Python's search for garbage among the libraries that it loads.

They are never garbage, but are searched again and again while they are loaded, and once more when
the process ends: with PyTorch that is a quarter of a second and half a second.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_search_while_loading() -> Iterator[None]:
    """Imports within are not searched, neither meanwhile nor later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def no_search_at_the_end() -> None:
    """Have this process end without a search; what has to be closed, its code closes itself."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
