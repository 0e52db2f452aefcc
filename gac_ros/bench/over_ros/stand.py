"""The stand that the controller is measured on: plays the robot and keeps the times."""

from __future__ import annotations

import gc
import os
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, Float64MultiArray

from gac_ros import messages
from gac_ros.bench.over_ros.echo import COMMAND_QOS
from gac_ros.bench.over_ros.topics import COMMANDS, REWARD, STATE, state_messages
from gac_ros.bench.over_ros.usage import RunQueue
from gac_ros.errors import TransportError

_STAMP = struct.Struct("<iI")
_STAMP_OFFSET = 4  # of a header's stamp in CDR bytes: behind the encapsulation
_DIFFERENT_STATES = 64
_LOST = 2.0  # s; an answer that takes longer will not come
_MOST_LOST = 5  # in one exchange; more is no accident
_CONNECTION = 60.0  # s
_QUIET = 0.2  # s without a command: no more are on their way
_MOST_QUIET_TRIES = 100
_RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


@dataclass
class Exchanges:
    """States sent one by one, each after the answer to the one before.

    Attributes:
        seconds: from each state's publish call to the arrival of its command.
        period: at which they were to be sent; None: as quickly as they are answered.
        unasked: commands beyond one for each state; they make one of the times meaningless.
        lost: states that were never answered; their time is that of the waiting.
        sent: when each state was sent, in seconds of the performance counter.
        scheduled: what `RunQueue.read` tells of whoever answers, right before each state is sent
            and right after its answer, with the stand's own waiting added to the other's; empty
            where nobody watched.
    """

    period: float | None
    seconds: list[float] = field(default_factory=list)
    unasked: int = 0
    lost: int = 0
    sent: list[float] = field(default_factory=list)
    scheduled: list[tuple[float, float]] = field(default_factory=list)

    @property
    def missed(self) -> int:
        """Periods that went by without a command, several of them while one is very late."""
        if self.period is None:
            return 0
        return int((np.array(self.seconds) // self.period).sum())

    def extend(self, other: Exchanges) -> None:
        """Append those of another."""
        self.seconds += other.seconds
        self.unasked += other.unasked
        self.lost += other.lost
        self.sent += other.sent
        self.scheduled += other.scheduled


class Port:
    """The robot's topics under a prefix.

    Attributes:
        arrivals: when each command came, in seconds of the performance counter.
    """

    def __init__(self, node: Node, prefix: str, *, reliable: bool, rewards: bool) -> None:
        self.arrivals: list[float] = []
        state_qos = _RELIABLE if reliable else qos_profile_sensor_data
        self._node = node
        self._state = node.create_publisher(JointState, f"{prefix}{STATE}", state_qos)
        self._reward = node.create_publisher(Float64, f"{prefix}{REWARD}", 10) if rewards else None
        self._commands = node.create_subscription(
            Float64MultiArray, f"{prefix}{COMMANDS}", self._on_command, COMMAND_QOS, raw=True
        )
        self._zero = messages.serialize(messages.float64(0.0))

    def _on_command(self, _: bytes) -> None:
        self.arrivals.append(time.perf_counter())

    @property
    def connected(self) -> bool:
        """Whether whoever answers is there in full."""
        heard = [self._state] if self._reward is None else [self._state, self._reward]
        return all(publisher.get_subscription_count() for publisher in heard) and bool(
            self._node.count_publishers(self._commands.topic_name)
        )

    def send(self, state: bytes) -> None:
        """Publish a state."""
        self._state.publish(state)

    def state(self) -> None:
        """Publish a state that nobody needs to answer."""
        self._state.publish(bytes(state_messages(1)[0]))

    def reward(self) -> None:
        """Publish the reward of a step, where there are any."""
        if self._reward is not None:
            self._reward.publish(self._zero)


class Stand:
    """Sends states and waits for commands.

    Args:
        node: owned by the caller; spun in each of the methods.
        require_running: raises when a process that should answer has ended.
    """

    def __init__(self, node: Node, require_running: Callable[[], None]) -> None:
        self.node = node
        self._require_running = require_running
        self._executor = EventsExecutor(context=node.context)
        self._executor.add_node(node)
        self._own = RunQueue(os.getpid())
        self._states = cycle(state_messages(_DIFFERENT_STATES))
        # What is loaded stays; looking through it again would be seen in the times.
        gc.collect()
        gc.freeze()

    def close(self) -> None:
        """Let go of the node."""
        self._executor.shutdown()
        self._own.close()
        gc.unfreeze()

    def spin_until(self, condition: Callable[[], Any], patience: float, what: str) -> None:
        """Handle messages until the condition holds.

        Raises:
            TransportError: it does not in `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while not condition():
            if time.monotonic() > deadline:
                self._require_running()
                raise TransportError(f"no sign of {what} for {patience:.0f} s")
            self._executor.spin_once(timeout_sec=0.1)

    def connect(self, port: Port) -> None:
        """Wait until somebody answers there."""
        self.spin_until(lambda: port.connected, _CONNECTION, "whoever answers")

    def warm_up(self, port: Port, count: int, period: float) -> None:
        """Send states until commands come for them alone, and wait until the last one is here.

        A controller that has not heard of its robot yet sends safe actions, which answer nothing.

        Raises:
            TransportError: commands keep coming, or a process has ended.
        """
        self.stream(port, count, period)
        for _ in range(_MOST_QUIET_TRIES):
            port.arrivals.clear()
            self._sleep_until(time.perf_counter() + _QUIET)
            if not port.arrivals:
                return
        raise TransportError("the controller sends commands that answer no state")

    def exchange(
        self,
        port: Port,
        count: int,
        period: float | None,
        watched: RunQueue | None = None,
    ) -> Exchanges:
        """Send `count` states, one a period (or as quickly as they are answered).

        Args:
            port: where.
            count: how many.
            period: seconds; when an answer is late, the schedule starts anew with it.
            watched: of whoever answers.

        Raises:
            TransportError: a process has ended or answers no more.
        """
        found = Exchanges(period)
        with _undisturbed():
            due = time.perf_counter()
            for _ in range(count):
                state = next(self._states)
                self._sleep_until(due)
                _stamp(state, time.time_ns())
                found.unasked += len(port.arrivals)
                port.arrivals.clear()
                if watched is not None:
                    found.scheduled.append(self._scheduled(watched))
                sent = time.perf_counter()
                port.send(bytes(state))
                found.seconds.append(self._answer(port, sent) - sent)
                found.sent.append(sent)
                if watched is not None:
                    found.scheduled.append(self._scheduled(watched))
                found.lost += found.seconds[-1] >= _LOST
                if found.lost > _MOST_LOST:
                    raise TransportError(f"{found.lost} of {len(found.seconds)} states unanswered")
                port.reward()
                now = time.perf_counter()
                due = now if period is None else max(due + period, now)
        return found

    def stream(self, port: Port, count: int, period: float) -> None:
        """Send `count` states, one a period, whether or not they are answered.

        The commands that come meanwhile are added to the port's `arrivals`.
        """
        with _undisturbed():
            due = time.perf_counter()
            for state, _ in zip(self._states, range(count), strict=False):
                self._sleep_until(due)
                _stamp(state, time.time_ns())
                port.send(bytes(state))
                port.reward()
                due += period
        self._require_running()

    def _scheduled(self, watched: RunQueue) -> tuple[float, float]:
        ran, waited = watched.read()
        return ran, waited + self._own.read()[1]

    def _answer(self, port: Port, sent: float) -> float:
        """When the command came; the present when it has not come."""
        while not port.arrivals:
            if (now := time.perf_counter()) >= sent + _LOST:
                # A state may be lost on the way, as sensors' messages are not sent again.
                self._require_running()
                return now
            self._executor.spin_once(timeout_sec=_LOST)
        return port.arrivals.pop(0)

    def _sleep_until(self, due: float) -> None:
        while (left := due - time.perf_counter()) > 0.0:
            self._executor.spin_once(timeout_sec=left)


def _stamp(state: bytearray, nanoseconds: int) -> None:
    _STAMP.pack_into(state, _STAMP_OFFSET, *divmod(nanoseconds, messages.NANOSECONDS))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep this process's own garbage collection out of the times."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
