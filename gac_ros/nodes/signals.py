"""SIGINT, SIGTERM and SIGHUP as an orderly request to stop."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from threading import Event, Lock, Thread
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # the last of a lost terminal


class StopRequest:
    """Notices these signals from construction on, for the rest of the process's life.

    A SIGHUP that is ignored already, as under `nohup`, stays so. Python runs signal handlers
    between two instructions of the main thread, which waits inside the executor; a thread of its
    own hears of a signal at once.

    Attributes:
        event: set when a signal has come.
    """

    def __init__(self) -> None:
        self.event = Event()
        self._lock = Lock()
        self._wake: Callable[[], None] | None = None
        self._heard, self._told = socket.socketpair()
        self._told.setblocking(False)
        signal.set_wakeup_fd(self._told.fileno(), warn_on_full_buffer=False)
        for number in _SIGNALS:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _leave_to_the_thread)
        Thread(target=self._listen, name="signals", daemon=True).start()

    def on_stop(self, wake: Callable[[], None] | None) -> None:
        """Have a function called, on another thread, when a signal comes or has come."""
        with self._lock:
            self._wake = wake
            if wake is not None and self.event.is_set():
                wake()

    def _listen(self) -> None:
        while True:
            for number in self._heard.recv(64):
                if number in _SIGNALS:
                    self._stop()

    def _stop(self) -> None:
        with self._lock:
            self.event.set()
            if self._wake is not None:
                self._wake()


def _leave_to_the_thread(number: int, frame: FrameType | None) -> None:
    """Python writes the signal's number to the wake-up socket before it comes here."""
