"""How other threads reach the executor's thread."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


class Inbox:
    """Runs functions that any thread posts, on the executor, after what has already arrived.

    The executor serves messages and tasks in the order in which they came. What a callback posts
    therefore runs after every message that had reached the node by then.

    Args:
        node: added to an executor before anything is posted.
    """

    def __init__(self, node: Any) -> None:
        self._node = node
        self._failure: Exception | None = None

    def post(self, function: Callable[[], None]) -> None:
        """Run a function soon."""
        self._node.executor.create_task(self._run, function)

    def when_done(self, future: Future[Result], then: Callable[[Future[Result]], None]) -> None:
        """Run `then(future)` when another thread has completed the future."""
        future.add_done_callback(lambda done: self.post(lambda: then(done)))

    def fail(self, error: Exception) -> None:
        """Have `raise_failure` raise a defect of another thread."""
        self._failure = error

    def raise_failure(self) -> None:
        """Raise what a posted function raised, if one did."""
        if self._failure is not None:
            raise self._failure

    def _run(self, function: Callable[[], None]) -> None:
        # The events executor of rclpy 7.1 does not survive a task that raises.
        try:
            function()
        except Exception as error:
            self._failure = error
