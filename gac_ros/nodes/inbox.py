"""How other threads reach the executor's thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

Result = TypeVar("Result")


class Inbox:
    """Runs functions that any thread posts, on the executor, after what has already arrived.

    The executor looks at subscriptions before it looks at this inbox. What a callback posts
    therefore runs after every message that had reached the node by then.
    """

    def __init__(self, node: Any) -> None:
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._guard = node.create_guard_condition(self._run)

    def post(self, function: Callable[[], None]) -> None:
        """Run a function soon."""
        self._queue.put(function)
        self._guard.trigger()

    def when_done(self, future: Future[Result], then: Callable[[Future[Result]], None]) -> None:
        """Run `then(future)` when another thread has completed the future."""
        future.add_done_callback(lambda done: self.post(lambda: then(done)))

    def _run(self) -> None:
        # Not what is posted meanwhile: that waits for the messages that have come by then.
        for _ in range(self._queue.qsize()):
            try:
                self._queue.get_nowait()()
            except Empty:
                return
