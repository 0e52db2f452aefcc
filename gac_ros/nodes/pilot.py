"""The way of one observation: decode, decide, publish, record."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from gac_ros.control import ControlLoop, Decision
from gac_ros.errors import DecodeError
from gac_ros.faults import Fault, Reaction
from gac_ros.messages import deserialize
from gac_ros.nodes.crew import Prepared
from gac_ros.nodes.parameters import Settings, Tick
from gac_ros.nodes.recorded_link import Place, RecordedLink
from gac_ros.nodes.robot import LoadedRobot
from gac_ros.nodes.shadowed import ShadowedActor
from gac_ros.nodes.statistics import LoopStatistics
from gac_ros.planning import Plan
from gac_ros.replanning.actor import ReplanningActor
from gac_ros.safety import FaultEvent, SafetyStage

_LOG_INTERVAL = 1.0  # seconds between two lines about the same trouble
_LOG_LINES = 10  # different troubles that are worth a line each in that time


class Pilot:
    """Turns messages into commands. It knows no episodes; the driver tells it when to act.

    Ages and latencies are measured on the steady clock, whatever simulated time does.

    Attributes:
        statistics: for diagnostics.
        safety: the stage that decides what may be sent.
    """

    def __init__(
        self, robot: LoadedRobot, link: RecordedLink, settings: Settings, logger: Any
    ) -> None:
        self._robot = robot
        self._shadowed: ShadowedActor | None = None
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
        self._timed = not settings.lock_step
        self._stamped = bool(robot.embodiment.safety.max_stamp_age) and self._timed
        self._allowed_misses = robot.embodiment.safety.deadline_misses
        self._longest_stall = robot.embodiment.longest_stall
        self._grace = robot.embodiment.safety.startup_grace
        self._misses = 0
        self._untold: list[bytes] = []
        self._unknown: dict[str, bytes] = {}
        self._unlogged: list[str] = []
        self._warned: set[str] = set()
        self._warned_since = 0.0
        self.safety: SafetyStage = self._loop.safety
        self._looks = 0
        self.statistics = LoopStatistics()

    def begin(self, prepared: Prepared) -> None:
        """Follow a plan from now on, and forget what was heard before."""
        self._robot = prepared.robot
        self._shadowed = prepared.shadowed
        self._loop.ask(prepared.decider)
        self._robot.actor.follow(prepared.plan)
        self._begun = self.statistics.planned = time.monotonic()
        self._loop.planned(self._begun)
        self._misses = 0
        self.forget()

    def rehearse(self) -> None:
        """Go through a decision that nobody sees, while an episode waits for its first.

        A policy that fails is told and answered when it is asked in earnest.
        """
        with suppress(Exception):
            self._loop.problem(time.monotonic())
            self._robot.actor.rehearse()
            self._link.rehearse()

    def forget(self) -> None:
        """Forget what was heard and decided."""
        self._note(self._loop.begin())
        self.tell()

    def note(self, topic: str) -> None:
        """Note that a topic was heard, when nothing else is done with its message."""
        self.statistics.heard[topic] = time.monotonic()

    def receive(self, topic: str, data: bytes) -> None:
        """Take in and record a message of an observed topic.

        Bytes that are no message leave the input as old as it was, and block the policy until a
        message comes. They are not recorded, as nothing could be made of them.
        """
        now = time.monotonic()
        self.statistics.heard[topic] = now
        ros_now = self._link.ros_time if self._stamped else None
        if self._loop.receive_alike(topic, data, now, ros_now):
            self._link.heard(topic, data)
            self._last_arrival = now
            return
        try:
            message = deserialize(data, self._types[topic])
        except DecodeError as error:
            self.statistics.undecodable += 1
            self._loop.reject(topic, f"{topic}: {error}")
            if self._is_new(f"{topic}: {error}"):
                self._unlogged.append(f"{topic}: {error}")
            return
        self._link.heard(topic, data)
        self._loop.receive(topic, message, now, ros_now)
        self._unknown[topic] = data
        self._last_arrival = now

    @property
    def ready(self) -> bool:
        """Whether a complete observation was heard since the last decision."""
        return self._loop.ready

    def problem(self) -> str:
        """Why the policy cannot act now; empty when it can."""
        return self._loop.problem(time.monotonic())

    def inspect(self) -> tuple[str, bool]:
        """Judge the inputs before the first step.

        Returns:
            Why the policy cannot act (empty when it can), and whether a fault asks for the end of
            control.
        """
        now = time.monotonic()
        patient = self._timed and now - self._begun < self._grace
        reason, gives_up, events = self._loop.inspect(now, patient=patient)
        self._note(events)
        return reason, gives_up

    @property
    def gives_up(self) -> bool:
        """Whether a fault asks for the end of control."""
        block = self.safety.block(time.monotonic())
        return block is not None and block.reaction is Reaction.DEACTIVATE

    @property
    def quiet(self) -> bool:
        """Whether the last command is so long ago that the watchdog should step in."""
        return time.monotonic() - self._last_command > self._patience

    @property
    def clock_stands_still(self) -> bool:
        """Whether the timer's ticks have stopped, as they do when nobody tells simulated time."""
        return self._by_timer and time.monotonic() - self._last_command > self._longest_stall

    def act(self) -> tuple[Decision, float, bool]:
        """Decide, publish and record.

        The latency runs from the arrival of the newest input to the end of the publish call. An
        action that answers no input counts from now. A decision that gives up is no step: its
        action is sent, but nothing is said of it.

        Returns:
            The decision, its latency in seconds, and whether it took more than a control period.
        """
        now = time.monotonic()
        answered = self._last_arrival if self._loop.ready else now
        plan = self._robot.actor.plan
        proposal = self._loop.propose(now, time.monotonic if self._timed else None)
        with self._link.turn:  # no command of the policy may follow one of the guardian's
            decision = self._loop.settle(proposal)
            self._note(decision.events)
            place = self._link.place()
            self._last_command = self._link.send_action(decision.action)
        latency = self._last_command - answered
        # By the timer, an input may wait for its tick; that is not the loop being slow.
        taken = self._last_command - now if self._by_timer else latency
        overrun = taken > self._period
        if not decision.gives_up:
            self._link.send_decision(decision, latency)
            self.statistics.add_decision(decision, latency, overrun=overrun)
            self._count_misses(late=overrun)
        if self._robot.replanning is not None:
            self._follow_up(self._robot.replanning, plan, place, decision)
        self.tell()
        self._learn()
        if self._shadowed is not None:
            self._shadowed.compare()
        if decision.error is not None:
            text = "".join(traceback.format_exception(decision.error))
            self._logger.error(f"the policy failed:\n{text}", throttle_duration_sec=_LOG_INTERVAL)
        elif decision.reason:
            self._warn(decision.reason)
        return decision, latency, overrun

    def _learn(self) -> None:
        """Read messages like those that had to be decoded more quickly from now on."""
        for topic, data in self._unknown.items():
            self._loop.learn(topic, data)
        self._unknown.clear()

    def rewarded(self, reward: float) -> None:
        """Note the reward of a step."""
        if self._robot.replanning is not None:
            self._robot.replanning.rewarded(reward)

    def _follow_up(
        self, actor: ReplanningActor, before: Plan | None, place: Place, decision: Decision
    ) -> None:
        """Tell the actor what was sent, and everybody of its new plans.

        In the bag a plan comes before its first command, as a replay needs it; but the robot does
        not wait for that.
        """
        self._tell_plan(actor, before, place)
        followed = actor.plan
        actor.executed(decision.action)
        self._tell_plan(actor, followed, None)
        if actor.looks != self._looks:  # a look that keeps a plan renews it
            self._looks = actor.looks
            self.statistics.planned = time.monotonic()
            self._loop.planned(self.statistics.planned)
        process = self._robot.planning_process
        if process is not None and process.failure:
            self._logger.error(process.failure, once=True)

    def _tell_plan(self, actor: ReplanningActor, before: Plan | None, place: Place | None) -> None:
        """Publish and record the actor's plan if it is another one."""
        if actor.plan is not None and actor.plan is not before:
            self._link.send_plan(actor.plan, place)
            self.statistics.changes_of_plan += 1

    def hold(self, reason: str) -> None:
        """Publish the safe action outside of any step; no reason when nothing is wrong.

        A robot that has not said all it has to is no trouble yet, but it is when that goes on.
        """
        self._last_command = self._link.send_action(self._loop.stop())
        self.tell()
        if reason:
            self.statistics.add_safe_action(reason)
            if self._loop.ready or time.monotonic() - self._begun > _LOG_INTERVAL:
                self._warn(reason)

    def raise_fault(self, fault: Fault, detail: str, *, lasting: bool = False) -> None:
        """Raise a fault that cannot be seen from the inputs; `tell` publishes it."""
        events = self.safety.raise_fault(fault, detail, time.monotonic(), lasting=lasting)
        self._note(events)
        if events:
            self._unlogged.append(f"fault {fault.value}: {detail}")

    def rest(self) -> None:
        """End the faults that nothing keeps, while nobody drives."""
        self._note(self._loop.rest(time.monotonic()))
        self.tell()

    def reset(self) -> tuple[Fault, ...]:
        """End every fault; returns which there were."""
        events = self.safety.reset()
        self._note(events)
        self.tell()
        return tuple(event.fault for event in events)

    def tell(self) -> None:
        """Publish and log the faults, and have everything written; a command goes first.

        A log may be a pipe that nobody reads, or a disk that is full.
        """
        if self._untold:
            told, self._untold = self._untold, []
            self._link.send_faults(told)
        self._link.hand_over()
        if self._unlogged:
            texts, self._unlogged = self._unlogged, []
            for text in texts:
                self._logger.error(text)

    def _note(self, events: Iterable[FaultEvent]) -> None:
        if events:
            self._untold += self._link.record_faults(events)

    def _count_misses(self, *, late: bool) -> None:
        self._misses = self._misses + 1 if late and self._timed else 0
        if self._misses >= self._allowed_misses:
            self._misses = 0
            detail = f"{self._allowed_misses} decisions in a row took more than a control period"
            self.raise_fault(Fault.DEADLINE_MISSED, detail)

    def _warn(self, reason: str) -> None:
        """Log why the robot stands still; a new reason at once, whatever the last one was."""
        if self._is_new(f"safe action: {reason}"):
            self._logger.warning(f"safe action: {reason}")

    def _is_new(self, text: str) -> bool:
        """Whether a line is to be logged: each once in an interval, and not too many of them."""
        now = time.monotonic()
        if now - self._warned_since > _LOG_INTERVAL:
            self._warned_since = now
            self._warned.clear()
        if text in self._warned or len(self._warned) >= _LOG_LINES:
            return False
        self._warned.add(text)
        return True
