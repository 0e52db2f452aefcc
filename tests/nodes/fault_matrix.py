"""Every fault and every way to meet it, over real DDS, judged by the commands that come out.

A `Matrix` is a robot (played here, at 20 Hz of simulated time), a client of the controller, and a
subscriber of its commands and faults. `run` makes one fault happen to a running controller, sees
that from then on nothing but the fault's reaction is commanded, mends it, and sees that control
comes back as configured. It tells how long that took, too, but does not judge it: the test runs one
reaction a fault on any machine, `benchmarks/fault_matrix.py` all, and holds them to their times.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from lifecycle_msgs.msg import Transition
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import Trigger

from gac_ros import messages
from gac_ros.buffer.reader import read_messages, read_metadata
from gac_ros.faults import Fault, Reaction
from gac_ros.ros_types import ros_class
from tests.nodes import misbehaving_controller as policy
from tests.nodes.support import JOINTS, SAFE, Client, write_contract
from tests.ros_support import RosPeer

RATE = 20.0
MAX_STEP = 0.4  # of a command from one period to the next
MAX_CHANGE = 0.35  # of a step from one period to the next
RAMP_STEP = 0.0125  # never from one ordinary action to another
WATCHED = 6  # commands under a fault, and as many after its cause has gone
MAX_AGE = 0.5
MAX_PLAN_AGE = 8.0
MAX_STALL = 1.5
DEADLINE_MISSES = 5
_MOMENTS = (Fault.CLOCK_JUMPED, Fault.DEADLINE_MISSED)
REACTIONS = [reaction for reaction in Reaction if reaction is not Reaction.LIMIT]


@dataclass(frozen=True)
class Row:
    """A way to make a fault happen.

    Attributes:
        name: of the row.
        fault: that it must raise.
        begin: makes it happen, to a robot that is being driven.
        mend: ends its cause; None where nothing can.
        ready: whether it happens before the first observation.
    """

    name: str
    fault: Fault
    begin: Callable[[Matrix], None]
    mend: Callable[[Matrix], None] | None
    ready: bool = False


@dataclass(frozen=True)
class Times:
    """When a fault was met, in seconds from its cause as the commands arrive here.

    Attributes:
        last_policy: the last command that the policy gave; negative when that was before the cause.
        reaction: the first command after it.
    """

    last_policy: float
    reaction: float


def contract(path: Path, policies: dict[Fault, tuple[Reaction, bool]]) -> Path:
    """The arm, commanded by position, with a reaction to each fault and whether it is latched."""
    return write_contract(
        path,
        control_rate=RATE,
        episode_length=100_000,
        episode_end_topic=None,
        observation=[
            {
                "topic": "joint_states",
                "type": messages.JOINT_STATE,
                "max_age": MAX_AGE,
                "fields": [
                    {"select": "position.shoulder", "unit": "rad"},
                    {"select": "velocity.elbow", "unit": "rad/s"},
                ],
            }
        ],
        action={
            "topic": "arm/commands",
            "type": messages.FLOAT64_MULTI_ARRAY,
            "interface": "position",
            "fields": [
                {
                    "joint": "shoulder",
                    "unit": "rad",
                    "limits": [-1.0, 1.0],
                    "rate_limit": MAX_STEP * RATE,
                    "acceleration_limit": MAX_CHANGE * RATE**2,
                    "safe": SAFE,
                }
            ],
        },
        safety={
            "ramp_time": 2.0 / RAMP_STEP / RATE,
            "startup_grace": 0.3,
            "max_plan_age": MAX_PLAN_AGE,
            "max_stamp_age": {"joint_states": 0.5},
            "deadline_misses": DEADLINE_MISSES,
            "max_stall": MAX_STALL,
            "faults": {
                fault.value: {
                    "reaction": reaction.value,
                    "latched": latched,
                    # A jump is over at once; its reaction is to be seen for a while.
                    **({"clear_after": 1.0} if fault in _MOMENTS and not latched else {}),
                }
                for fault, (reaction, latched) in policies.items()
            },
        },
        **{"return": {"source": "label"}},
    )


class Matrix:
    """A robot at the mercy of its faults, and an onlooker.

    Attributes:
        commands: received so far.
        arrivals: when they came, in seconds of the steady clock.
        events: of the fault topic.
        met: the faults that were made to happen.
    """

    def __init__(self, peer: RosPeer, client: Client) -> None:
        self.peer = peer
        self.client = client
        self.commands: list[float] = []
        self.arrivals: list[float] = []
        self.events: list[dict[str, Any]] = []
        self.met: set[Fault] = set()
        self.position = 0.0
        self.joints: tuple[str, ...] = JOINTS
        self.lateness = 0.0
        self.garbage = False
        self.streaming = False
        self.clock = 1000.0
        self._once: float | None = None
        self._answerable = 0  # observations of this episode that the policy may answer
        self._observed = 0.0  # when the last observation was sent
        self._planned = 0.0  # when the episode's plan was heard of
        self._strangers: list[Any] = []
        node = peer.node
        self._stop = node.create_client(Trigger, "/gac_controller/emergency_stop")
        peer.spin_until(self._stop.service_is_ready)
        self._states = node.create_publisher(ros_class(messages.JOINT_STATE), "joint_states", 10)
        self._clocks = node.create_publisher(ros_class(messages.CLOCK), "/clock", 10)
        self._button = node.create_publisher(
            ros_class("std_msgs/msg/Bool"), "/gac_controller/emergency_stop", 10
        )
        kind = ros_class(messages.FLOAT64_MULTI_ARRAY)
        node.create_subscription(kind, "arm/commands", self._commanded, 1000)
        latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(
            ros_class(messages.STRING), "/gac_controller/fault", self._told, latched
        )
        node.create_timer(1.0 / RATE, self._tick)

    def _commanded(self, message: Any) -> None:
        self.commands += message.data
        self.arrivals.append(time.monotonic())

    def _told(self, message: Any) -> None:
        self.events.append(json.loads(message.data))

    def _tick(self) -> None:
        self.clock += 1.0 / RATE
        self._clocks.publish(messages.serialize(messages.clock(self._stamp(self.clock))))
        if self.streaming:
            position = self.position if self._once is None else self._once
            self._once = None
            good = self.joints == JOINTS and self.lateness == 0.0 and not self.garbage
            self._answerable += good and position in (0.0, float(policy.SLOW))
            self._observe(position)

    def _stamp(self, seconds: float) -> int:
        return round(seconds * messages.NANOSECONDS)

    def _observe(self, position: float) -> None:
        self._observed = time.monotonic()
        if self.garbage:
            self._states.publish(b"\x00\x01\x00\x00garbage")
            return
        state = messages.joint_state(
            self._stamp(self.clock - self.lateness),
            self.joints,
            position=[9.0, position],
            velocity=[0.0, 8.0],
        )
        self._states.publish(messages.serialize(state))

    # --- what the rows do -------------------------------------------------------------------------

    def once(self, position: float) -> None:
        """Be at a position for one message."""
        self._once = position

    def jump(self, seconds: float) -> None:
        """Have the clock jump, well before the next stamp."""
        self.clock += seconds
        self._clocks.publish(messages.serialize(messages.clock(self._stamp(self.clock))))
        self.clock -= 1.0 / RATE  # the next tick tells the same time again

    def press(self, pressed: bool) -> None:
        """Press or release the emergency stop's button."""
        self._button.publish(ros_class("std_msgs/msg/Bool")(data=pressed))

    def call_a_stop(self) -> None:
        """Call the emergency stop's service, without waiting for its answer."""
        self._stop.call_async(Trigger.Request())

    def call(self, service: str) -> Any:
        """Call a Trigger service of the controller."""
        return self.peer.call(Trigger, f"/gac_controller/{service}")

    def strange(self, on: bool) -> None:
        """Have somebody else publish commands, or no more."""
        node = self.peer.node
        if on:
            kind = ros_class(messages.FLOAT64_MULTI_ARRAY)
            self._strangers.append(node.create_publisher(kind, "arm/commands", 10))
        else:
            node.destroy_publisher(self._strangers.pop())

    # --- one cell ---------------------------------------------------------------------------------

    def run(self, row: Row, reaction: Reaction, *, latched: bool) -> Times | None:
        """Make a fault happen, watch what is commanded, and see control come back.

        Returns:
            How soon the policy was stopped; None for an action that is only limited.
        """
        self._start(drive=not row.ready)
        if not row.ready:
            self.events.clear()
        if reaction is Reaction.LIMIT:
            self._see_it_limited(row)
            return None
        before = len(self.commands)
        cause = self._cause(row)
        row.begin(self)
        event = self._wait_for("raised", row.fault)
        self.met.add(row.fault)
        # However late the commands come here: no observation after this one may be answered.
        answerable = self._answerable
        # What comes before it may have answered some other fault, of a busy machine.
        before = max(before, len(self.commands) - 2)
        assert (event["reaction"], event["latched"]) == (reaction.value, latched), event
        assert row.fault.value in event["active"]
        if reaction is Reaction.DEACTIVATE:
            self._see_it_give_up(before, answerable)
            times = self._times(cause, reaction)
        else:
            start = self._see_it_met(row, reaction, before, answerable)
            times = self._times(cause, reaction)
            if row.mend is None:
                self._see_no_way_back(start, reaction, row)
            elif latched:
                self._see_it_latched(row, row.mend, reaction, start)
            else:
                row.mend(self)
                self._wait_for("cleared", row.fault)
                self._see_the_policy()
        self._mend(row)
        self._end(row)
        self._check_all_commands()
        return times

    def _cause(self, row: Row) -> float:
        """When what happens now is to count from."""
        if row.fault is Fault.OBSERVATION_STALE:
            return self._observed
        if row.fault is Fault.PLAN_STALE:
            return self._planned + MAX_PLAN_AGE
        return time.monotonic()

    def _times(self, cause: float, reaction: Reaction) -> Times:
        commands = self.commands
        # One that comes again is held; the policy's own differ from one to the next.
        given = [
            place
            for place, command in enumerate(commands)
            if _is_ordinary(command)
            and not (reaction is Reaction.HOLD and place and command == commands[place - 1])
        ]
        last = given[-1] if given else -1
        reacted = self.arrivals[last + 1] - cause
        return Times(self.arrivals[last] - cause if given else -math.inf, reacted)

    def _see_it_limited(self, row: Row) -> None:
        """See the nearest commands within the limits, which count as the policy's own."""
        limited = self._limited_actions()
        begin = len(self.commands) - 1
        row.begin(self)
        nearest = min(policy.ACTIONS[round(self.position)], 1.0)
        self.peer.spin_until(lambda: self.commands[-WATCHED:] == [nearest] * WATCHED)
        first = next(
            place for place in range(begin, len(self.commands)) if self.commands[place] > 0.5
        )
        earlier, last, command = self.commands[first - 2 : first + 1]
        # As far as the acceleration allows, which is less than the rate does, and there with the
        # next.
        assert math.isclose(command, last + (last - earlier) + MAX_CHANGE)
        assert set(self.commands[first + 1 :]) == {nearest}
        self._check_all_commands()
        assert row.fault.value not in [event["fault"] for event in self.events]
        self.peer.spin_until(lambda: self._limited_actions() > limited)
        self._mend(row)
        self._see_the_policy()
        self._end(row, limited=True)
        self._check_all_commands()

    def _mend(self, row: Row) -> None:
        if row.mend is not None:
            row.mend(self)
        self.call("reset_faults")

    def _start(self, *, drive: bool) -> None:
        self._be_well()
        if self.client.lifecycle() == "inactive":
            assert self.client.change(Transition.TRANSITION_ACTIVATE)
        self.commands.clear()
        self.arrivals.clear()
        self.events.clear()
        self._answerable = 0
        self.streaming = drive
        self.client.states.clear()
        reply = self.call("start_episode")
        assert reply.success, reply.message
        # By the time that the reply is here it may have begun to run.
        self.peer.spin_until(
            lambda: self.client.states and self.client.states[-1]["state"] in ("ready", "running")
        )
        self._planned = time.monotonic()
        if drive:
            self._see_the_policy()

    def _be_well(self) -> None:
        """Leave nothing of a cell that failed."""
        self.position, self.joints, self.lateness, self.garbage = 0.0, JOINTS, 0.0, False
        while self._strangers:
            self.strange(False)
        if self.client.states and self.client.states[-1]["state"] != "idle":
            self.client.request("discard_episode")
            self.client.until("idle")
        if not self._reset_works():
            self.press(False)
            self.peer.spin_until(self._reset_works)

    def _wait_for(self, what: str, fault: Fault) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [
                event
                for event in self.events
                if event["event"] == what and event["fault"] == fault.value
            ]

        self.peer.spin_until(found)
        return found()[0]

    def _see_the_policy(self) -> None:
        """Wait for two commands in a row that only the policy gives."""
        start = len(self.commands)

        def ordinary() -> bool:
            recent = self.commands[start:]
            return any(_is_ordinary(a) and _is_ordinary(b) and a != b for a, b in pairwise(recent))

        self.peer.spin_until(ordinary)

    def _see_it_met(self, row: Row, reaction: Reaction, before: int, answerable: int) -> int:
        """See nothing but the reaction, from soon after the fault on; returns where it began."""
        start = before
        if row.ready:
            reaction = Reaction.SAFE  # nothing was commanded yet that could be held
        self.peer.spin_until(lambda: _begins(self.commands, before, reaction) is not None)
        found = _begins(self.commands, before, reaction)
        assert found is not None
        start = found
        self._check_answers(self.commands[:start], answerable)
        self.peer.spin_until(lambda: len(self.commands) >= start + WATCHED)
        self._check_met(start, reaction)
        return start

    def _check_met(self, start: int, reaction: Reaction) -> None:
        under = self.commands[start:]
        if reaction is Reaction.HOLD:
            assert len(set(under)) == 1, under
        elif reaction is Reaction.RAMP:
            steps = np.diff(under)
            assert (np.abs(steps) <= RAMP_STEP + 1e-9).all(), under
            towards = np.diff(np.abs(np.array(under) - SAFE))
            assert (towards <= 1e-12).all(), under
        else:
            assert set(under) == {0.0 if reaction is Reaction.ZERO else SAFE}, under

    def _see_it_latched(
        self, row: Row, mend: Callable[[Matrix], None], reaction: Reaction, start: int
    ) -> None:
        if row.fault is Fault.EMERGENCY_STOP and row.name.endswith("topic"):
            assert "still pressed" in self.call("reset_faults").message
        if row.fault is not Fault.EMERGENCY_STOP:
            mend(self)
        count = len(self.commands)
        self.peer.spin_until(lambda: len(self.commands) >= count + WATCHED)
        self._check_met(start, Reaction.SAFE if row.ready else reaction)
        mend(self)
        self.peer.spin_until(lambda: self._reset_works())
        self._wait_for("cleared", row.fault)
        self._see_the_policy()

    def _reset_works(self) -> bool:
        return bool(self.call("reset_faults").success)

    def _see_no_way_back(self, start: int, reaction: Reaction, row: Row) -> None:
        count = len(self.commands)
        self.call("reset_faults")  # raised again before the policy acts
        self.peer.spin_until(lambda: len(self.commands) >= count + WATCHED)
        self._check_met(start, reaction)

    def _see_it_give_up(self, before: int, answerable: int) -> None:
        self.peer.spin_until(lambda: self.client.lifecycle() == "inactive")
        self.peer.spin_until(lambda: self.commands and self.commands[-1] == SAFE)
        after = self.commands[before:]
        first = after.index(SAFE)
        self._check_answers(self.commands[: before + first], answerable)
        self.client.lifecycle()  # a while, in which what is still on its way comes
        assert set(self.commands[before + first :]) == {SAFE}, self.commands[before:]

    def _end(self, row: Row, *, limited: bool = False) -> None:
        """End the episode; its bag holds the fault, unless its cause was only limited."""
        self.streaming = True
        if self.client.states[-1]["state"] == "running":
            self.client.end(success=False)
        elif self.client.states[-1]["state"] == "ready":
            self.client.request("discard_episode")
        state = self.client.until("idle")
        self.streaming = False
        self._mend(row)
        if state["summary"] is None:
            return
        bag = Path(state["summary"]["bag"])
        topics = read_metadata(bag).topics
        told = [
            json.loads(messages.deserialize(message.data, message.type).data)
            for message in read_messages(bag)
            if message.topic == topics["fault"]
        ]
        raised = [event["fault"] for event in told if event["event"] == "raised"]
        assert row.ready or (row.fault.value in raised) == (not limited)
        if row.name == "slow":
            assert read_metadata(bag).overruns >= DEADLINE_MISSES
            self.peer.spin_until(lambda: self._overruns_told() >= DEADLINE_MISSES)

    def _overruns_told(self) -> int:
        """The largest count of late decisions that diagnostics have told of."""
        return self._largest_told("overruns")

    def _limited_actions(self) -> int:
        return self._largest_told("limited actions")

    def _largest_told(self, key: str) -> int:
        values = [pair for status in self.client.reports for pair in status.values]
        return max((int(pair.value) for pair in values if pair.key == key), default=0)

    def _check_answers(self, commands: list[float], answerable: int) -> None:
        assert sum(map(_is_ordinary, commands)) <= answerable, (answerable, commands)

    def _check_all_commands(self) -> None:
        commands = np.array(self.commands)
        assert np.isfinite(commands).all()
        assert (np.abs(commands) <= 1.0).all()
        step = 0.0
        for last, command in pairwise(self.commands):
            # What stops the robot comes at once; motion starts anew from it.
            if command in (SAFE, 0.0, last):
                step = 0.0
                continue
            change, step = command - last - step, command - last
            assert abs(step) <= MAX_STEP + 1e-9, self.commands
            assert abs(change) <= MAX_CHANGE + 1e-9, self.commands


def _is_ordinary(command: float) -> bool:
    return any(math.isclose(command, ordinary) for ordinary in policy.ORDINARY)


def _begins(commands: list[float], before: int, reaction: Reaction) -> int | None:
    """Where a reaction begins to show among the commands; None while it does not."""
    for place in range(max(before, 1), len(commands)):
        command, last = commands[place], commands[place - 1]
        if reaction is Reaction.HOLD and command == last:
            return place - 1 if place > before else place
        if reaction is Reaction.RAMP and not _is_ordinary(command):
            return place
        if reaction is Reaction.ZERO and command == 0.0:
            return place
        if reaction is Reaction.SAFE and command == SAFE:
            return place
    return None


def _set(**changes: Any) -> Callable[[Matrix], None]:
    def change(matrix: Matrix) -> None:
        for name, value in changes.items():
            setattr(matrix, name, value)

    return change


def _code(name: str, fault: Fault, code: int) -> Row:
    return Row(name, fault, _set(position=float(code)), _set(position=0.0))


ROWS = [
    Row(
        "nothing heard",
        Fault.OBSERVATION_MISSING,
        _set(),
        _set(streaming=True),
        ready=True,
    ),
    Row("nothing more heard", Fault.OBSERVATION_STALE, _set(streaming=False), _set(streaming=True)),
    Row("old stamp", Fault.OBSERVATION_STAMP, _set(lateness=2.0), _set(lateness=0.0)),
    Row("stamp of the future", Fault.OBSERVATION_STAMP, _set(lateness=-2.0), _set(lateness=0.0)),
    Row(
        "missing joint",
        Fault.OBSERVATION_MALFORMED,
        _set(joints=("elbow", "wrist")),
        _set(joints=JOINTS),
    ),
    Row("no message", Fault.OBSERVATION_MALFORMED, _set(garbage=True), _set(garbage=False)),
    Row("NaN", Fault.OBSERVATION_NOT_FINITE, _set(position=math.nan), _set(position=0.0)),
    _code("action of wrong length", Fault.ACTION_MALFORMED, policy.TOO_LONG),
    _code("NaN action", Fault.ACTION_NOT_FINITE, policy.NOT_FINITE),
    _code("too large", Fault.VALUE_LIMIT, policy.TOO_LARGE),
    _code("too fast", Fault.RATE_LIMIT, policy.TOO_FAST),
    _code("too jerky", Fault.ACCELERATION_LIMIT, policy.TOO_JERKY),
    _code("exception", Fault.POLICY_FAILED, policy.RAISE),
    _code("slow", Fault.DEADLINE_MISSED, policy.SLOW),
    Row(
        "standing still",
        Fault.DEADLINE_MISSED,
        lambda matrix: matrix.once(policy.STALL),
        _set(position=0.0),
    ),
    Row(
        "old plan",
        Fault.PLAN_STALE,
        _set(),
        None,
    ),
    Row("clock", Fault.CLOCK_JUMPED, lambda matrix: matrix.jump(5.0), _set(position=0.0)),
    Row("clock set back", Fault.CLOCK_JUMPED, lambda matrix: matrix.jump(-500.0), _set()),
    Row(
        "stranger",
        Fault.DUPLICATE_PUBLISHER,
        lambda matrix: matrix.strange(True),
        lambda matrix: matrix.strange(False) if matrix._strangers else None,
    ),
    Row(
        "emergency stop by service",
        Fault.EMERGENCY_STOP,
        lambda matrix: matrix.call_a_stop(),
        lambda matrix: None,
    ),
    Row(
        "emergency stop by topic",
        Fault.EMERGENCY_STOP,
        lambda matrix: matrix.press(True),
        lambda matrix: matrix.press(False),
    ),
]
