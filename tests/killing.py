"""Processes that are killed in the middle of their work.

All are forked from one that has done nothing but load PyTorch, which takes seconds.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

_LOADED = ("pytest", "torch._dynamo", "mujoco", "gac_ros.online.loop", "gac_ros.training.run")


@contextmanager
def killed_at_the_end(function: Callable[..., None], *arguments: object) -> Iterator[Iterator[str]]:
    """The lines, as they come, that a process prints which calls a function of a module.

    It is killed when the context is left.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_LOADED])
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_call, args=(writer, function, arguments))
    process.start()
    writer.close()
    try:
        with reader, os.fdopen(os.dup(reader.fileno())) as lines:
            yield lines
    finally:
        process.kill()
        process.join()


def _call(writer: Connection, function: Callable[..., None], arguments: tuple[object, ...]) -> None:
    os.dup2(writer.fileno(), 1)
    writer.close()
    function(*arguments)
