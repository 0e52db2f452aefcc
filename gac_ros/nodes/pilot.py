"""The way of one observation: decode, decide, publish, record."""

from __future__ import annotations

import time
from typing import Any

from gac_ros.control import ControlLoop, Decision
from gac_ros.errors import DecodeError
from gac_ros.messages import deserialize
from gac_ros.nodes.parameters import Settings, Tick
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.nodes.robot import LoadedRobot
from gac_ros.nodes.statistics import LoopStatistics
from gac_ros.planning import Plan

_LOG_INTERVAL = 1.0  # seconds between two lines about the same trouble


class Pilot:
    """Turns messages into commands. It knows no episodes; the driver tells it when to act.

    Ages and latencies are measured on the steady clock, whatever simulated time does.

    Attributes:
        statistics: for diagnostics.
    """

    def __init__(
        self, robot: LoadedRobot, link: RecordedLink, settings: Settings, logger: Any
    ) -> None:
        self._robot = robot
        self._link = link
        self._logger = logger
        self._loop = ControlLoop(robot.embodiment, robot.actor, check_age=not settings.lock_step)
        self._types = {channel.topic: channel.type for channel in robot.embodiment.observation}
        self._period = period = robot.embodiment.control_period
        self._by_timer = settings.tick is Tick.TIMER
        # The watchdog leaves the ordinary tick its turn, but does not wait for a second one.
        self._patience = period * (1.5 if self._by_timer else 0.5)
        self._begun = 0.0
        self._last_command = 0.0
        self._last_arrival = 0.0
        self.statistics = LoopStatistics()

    def begin(self, plan: Plan) -> None:
        """Follow a plan from now on, and forget what was heard before."""
        self._robot.actor.follow(plan)
        self._begun = self.statistics.planned = time.monotonic()
        self.forget()

    def forget(self) -> None:
        """Forget what was heard and decided."""
        self._loop.begin()

    def note(self, topic: str) -> None:
        """Note that a topic was heard, when nothing else is done with its message."""
        self.statistics.heard[topic] = time.monotonic()

    def receive(self, topic: str, data: bytes) -> None:
        """Take in and record a message of an observed topic.

        Bytes that are no message count as nothing heard: the input goes stale. They are not
        recorded, as nothing could be made of them.
        """
        now = time.monotonic()
        self.statistics.heard[topic] = now
        try:
            message = deserialize(data, self._types[topic])
        except DecodeError as error:
            self.statistics.undecodable += 1
            self._logger.error(f"{topic}: {error}", throttle_duration_sec=_LOG_INTERVAL)
            return
        self._link.heard(topic, data)
        self._loop.receive(topic, message, now)
        self._last_arrival = now

    @property
    def ready(self) -> bool:
        """Whether a complete observation was heard since the last decision."""
        return self._loop.ready

    def problem(self) -> str:
        """Why no observation can be used now; empty when one can."""
        return self._loop.problem(time.monotonic())

    @property
    def quiet(self) -> bool:
        """Whether the last command is so long ago that the watchdog should step in."""
        return time.monotonic() - self._last_command > self._patience

    def act(self) -> tuple[Decision, float]:
        """Decide, publish and record; returns the decision and its latency in seconds.

        The latency runs from the arrival of the newest input to the end of the publish call. An
        action that answers no input counts from now.
        """
        now = time.monotonic()
        answered = self._last_arrival if self._loop.ready else now
        decision = self._loop.decide(now)
        self._last_command = self._link.send_action(decision.action)
        latency = self._last_command - answered
        self._link.send_decision(decision, latency)
        # By the timer, an input may wait for its tick; that is not the loop being slow.
        taken = self._last_command - now if self._by_timer else latency
        self.statistics.add_decision(decision, latency, overrun=taken > self._period)
        if decision.reason:
            self._warn(decision.reason)
        return decision, latency

    def hold(self, reason: str) -> None:
        """Publish the safe action outside of any step; no reason when nothing is wrong.

        A robot that has not said all it has to is no trouble yet, but it is when that goes on.
        """
        self._last_command = self._link.send_action(self._robot.embodiment.safe_action)
        if reason:
            self.statistics.add_safe_action(reason)
            if self._loop.ready or time.monotonic() - self._begun > _LOG_INTERVAL:
                self._warn(reason)

    def _warn(self, reason: str) -> None:
        self._logger.warning(f"safe action: {reason}", throttle_duration_sec=_LOG_INTERVAL)
