"""Stops the robot when the control loop itself stands still."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event, Thread

from gac_ros.faults import Fault
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.safety import SafetyStage


class Guardian:
    """A thread that answers for an executor that hangs, in the policy or anywhere else.

    Publishing is safe from any thread, and so is the safety stage. It cannot help where native
    code keeps Python's interpreter lock, or the process is stopped: that is for the command
    timeout of the robot's driver.

    Args:
        safety: decides what is sent.
        link: sends it; owned by the caller.
        driving: whether the robot is being driven.
        failed: told of a defect of the thread, which goes on all the same.
    """

    def __init__(
        self,
        safety: SafetyStage,
        link: RecordedLink,
        driving: Callable[[], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        self._safety = safety
        self._link = link
        self._driving = driving
        self._failed = failed
        self._limit = link.embodiment.longest_stall
        self._period = link.embodiment.control_period
        self._beat = time.monotonic()
        self._closed = Event()
        self._thread = Thread(target=self._run, name="guardian", daemon=True)
        self._thread.start()

    def beat(self) -> None:
        """Tell that the loop goes on; to be called at least once a control period."""
        self._beat = time.monotonic()

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        pause = self._limit / 4.0
        while not self._closed.wait(pause):
            now = time.monotonic()
            silence = now - self._beat
            if silence > self._limit and self._driving():
                try:
                    self._stop(now, silence)
                except Exception as error:  # nobody else answers for the loop meanwhile
                    self._failed(error)
                pause = self._period
            else:
                pause = self._limit / 4.0

    def _stop(self, now: float, silence: float) -> None:
        detail = f"the control loop has stood still for {silence:.3f} s"
        events = self._safety.raise_fault(Fault.DEADLINE_MISSED, detail, now)
        told = self._link.record_faults(events)
        # The loop may be about to send; should it hang in that, nobody waits for it.
        turn = self._link.turn.acquire(timeout=self._period)
        try:
            block = self._safety.block(now)
            if block is not None:
                self._link.send_action(self._safety.replace(block.reaction, decides=False))
        finally:
            if turn:
                self._link.turn.release()
        self._link.send_faults(told)
