"""Random courses of an episode: messages good and bad, faults, and a policy that answers anything.

A course is a list of operations, drawn by hypothesis and played by a `Course`, which checks every
command that comes out against what it knows by itself of what went in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import decode_action, encode_action
from gac_ros.control import ControlLoop, Decision, Source
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.errors import DecodeError
from gac_ros.faults import LIMITS, Fault, Reaction
from gac_ros.observation import ChannelDecoder

JOINTS = ("hip", "knee")
MAX_AGE = 0.2
MAX_STAMP_AGE = 0.3
NANOSECONDS = messages.NANOSECONDS


def robot(reaction: Reaction | None, *, latched: bool = False) -> Embodiment:
    """A leg whose every fault has the reaction (None: the defaults)."""
    faults: dict[str, Any] = {}
    if reaction is not None:
        policy = {"reaction": reaction.value, "latched": latched}
        faults = {
            fault.value: {**policy, "latched": latched or fault is Fault.EMERGENCY_STOP}
            for fault in Fault
            if latched or fault not in LIMITS
        }
    return embodiment_from_dict(
        {
            "name": "leg",
            "control_rate": 20.0,
            "episode_length": 50,
            "observation": [
                {
                    "topic": "joint_states",
                    "type": messages.JOINT_STATE,
                    "max_age": MAX_AGE,
                    "fields": [
                        {"select": "position.hip", "unit": "rad", "scale": 1e3},
                        {"select": "velocity.knee", "unit": "rad/s", "clip": [-5.0, 5.0]},
                    ],
                },
                {
                    "topic": "scan",
                    "type": messages.FLOAT64_MULTI_ARRAY,
                    "max_age": 2 * MAX_AGE,
                    "fields": [{"select": "data.1", "unit": "m"}],
                },
            ],
            "action": {
                "topic": "commands",
                "type": messages.JOINT_STATE,
                "interface": "position",
                "fields": [
                    {
                        "joint": "hip",
                        "unit": "rad",
                        "limits": [-1.0, 1.0],
                        "rate_limit": 8.0,
                        "acceleration_limit": 60.0,
                        "safe": 0.25,
                    },
                    {"joint": "knee", "unit": "rad", "limits": [-0.1, 3.0], "safe": -0.1},
                ],
            },
            "return": {"source": "label"},
            "safety": {
                "faults": faults,
                "max_plan_age": 3.0,
                "max_stamp_age": {"joint_states": MAX_STAMP_AGE},
            },
        },
        origin="test",
    )


ROBOTS = [robot(None)] + [
    robot(reaction, latched=latched)
    for reaction in list(Reaction)
    if reaction is not Reaction.LIMIT
    for latched in (False, True)
]

numbers = st.floats(width=64)
seconds = st.sampled_from((0.0, 0.01, 0.05, 0.15, 0.25, 1.0, 5.0))


def _message(names: list[str], values: list[float], array: list[float], joints: bool) -> Any:
    if joints:
        return lambda stamp: messages.joint_state(
            stamp, names, position=values[: len(names)], velocity=values[: len(names)]
        )
    return lambda stamp: messages.float64_multi_array(array)


bad_numbers = st.sampled_from(([math.nan, 0.0], [0.0, -math.inf])) | st.lists(numbers, max_size=3)
good = st.tuples(st.booleans(), st.lists(st.floats(-2.0, 2.0), min_size=2, max_size=2)).map(
    lambda drawn: _message(list(JOINTS), drawn[1], drawn[1], drawn[0])
)
odd = st.builds(
    _message,
    st.just([*JOINTS]) | st.lists(st.sampled_from((*JOINTS, "toe")), max_size=3),
    bad_numbers,
    bad_numbers,
    st.booleans(),
)
damage = st.tuples(
    st.sampled_from(("flip", "cut", "replace")), st.integers(0, 1 << 16), st.binary()
)
message = st.tuples(
    st.just("message"),
    st.sampled_from(("joint_states", "scan")),
    good | good | odd,
    st.none() | st.none() | damage,
    st.sampled_from((0.0, 0.0, 0.0, 0.1, 1.0, -1.0, 1e6)),
)
# As likely as anything odd: otherwise the policy would hardly ever get to act.
fine = st.floats(-2.0, 2.0)
mostly_fine = fine | fine | fine | st.sampled_from((math.nan, math.inf, -math.inf, 1e308))
step = st.tuples(st.just("step"), mostly_fine, mostly_fine)
answer = st.tuples(
    st.just("answer"),
    st.lists(st.floats(-3.0, 3.0), min_size=2, max_size=2)
    | st.lists(numbers, max_size=3)
    | st.sampled_from(([math.nan, 0.0], [0.0, math.inf], "raise", "text", "matrix", "nothing")),
)
fault = st.tuples(st.just("fault"), st.sampled_from(Fault), st.booleans())
operation = st.one_of(
    step,
    step,
    step,
    message,
    st.tuples(st.just("decide"), seconds),
    answer,
    fault,
    st.tuples(st.just("wait"), seconds),
    st.tuples(st.sampled_from(("inspect", "begin", "reset", "rest", "stop", "stall", "gone"))),
)
courses = st.tuples(
    st.sampled_from(range(len(ROBOTS))), st.lists(operation, min_size=4, max_size=25)
)


class Course:
    """Plays a course through the bytes' decoding, the control loop and the safety stage.

    Attributes:
        decisions: that were made.
        by_the_policy: of them.
        alike: messages that were read by their layout.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self.decisions = 0
        self.by_the_policy = 0
        self.alike = 0
        self._embodiment = embodiment
        self._decoders = {
            channel.topic: (channel, ChannelDecoder(channel)) for channel in embodiment.observation
        }
        self._answer: Any = [0.3, 0.5]
        self._loop = ControlLoop(embodiment, self)
        self._loop.begin()
        self._loop.planned(0.0)
        self._now = 0.0
        self._misled = False
        self._heard: dict[str, float] = {}
        self._finite: dict[str, bool] = {}
        self._sent = embodiment.safe_action
        self._step = np.zeros(embodiment.action_size)  # from the command before, if it may go on
        self._ramps = Reaction.RAMP in embodiment.safety.reactions()

    def begin(self, seed: int) -> None:
        """An actor's part."""

    def act(self, observation: NDArray[np.float64]) -> Any:
        """The policy: whatever was drawn, but only ever for a good observation."""
        # Not asserted here: what a policy raises is a fault like others.
        self._misled = not (np.isfinite(observation).all() and all(self._finite.values())) or any(
            self._now - self._heard.get(topic, -math.inf) > channel.max_age
            for topic, (channel, _) in self._decoders.items()
        )
        if self._answer == "raise":
            raise ArithmeticError("the matrix is singular")
        if self._answer == "matrix":
            return np.zeros((2, 2))
        return None if self._answer == "nothing" else self._answer

    def play(self, operations: list[tuple[Any, ...]]) -> None:
        """Play them one by one."""
        for name, *arguments in operations:
            getattr(self, f"_do_{name}")(*arguments)

    def _do_step(self, hip: float, knee: float) -> None:
        for topic, joints in (("joint_states", True), ("scan", False)):
            make = _message(list(JOINTS), [hip, knee], [hip, hip], joints)
            self._receive(topic, messages.serialize(make(self._stamp(0.0))))
        self._do_decide(0.05)

    def _do_message(self, topic: str, make: Any, harm: Any, lateness: float) -> None:
        try:
            data = messages.serialize(make(self._stamp(lateness)))
        except Exception:  # what cannot be a message cannot come
            return
        self._receive(topic, data if harm is None else _damaged(data, *harm))

    def _stamp(self, lateness: float) -> int:
        # Seconds since an epoch, so that stamps far in the past are still positive.
        return max(0, round((1e7 + self._now - lateness) * NANOSECONDS))

    def _receive(self, topic: str, data: bytes) -> None:
        channel, decoder = self._decoders[topic]
        alike = self._loop.receive_alike(topic, data, self._now, self._stamp(0.0))
        try:
            decoded = messages.deserialize(data, channel.type)
        except DecodeError as error:
            assert not alike
            self._loop.reject(topic, str(error))
            return
        if not alike:
            self._loop.receive(topic, decoded, self._now, self._stamp(0.0))
            self._loop.learn(topic, data)
        self.alike += alike
        try:
            numbers = decoder.read(decoded)
        except DecodeError:
            return
        self._heard[topic] = self._now
        self._finite[topic] = bool(np.isfinite(numbers).all())

    def _do_answer(self, value: Any) -> None:
        self._answer = value

    def _do_wait(self, duration: float) -> None:
        self._now += duration

    def _do_decide(self, duration: float) -> None:
        self._now += duration
        self._check(self._loop.decide(self._now))

    def _do_inspect(self) -> None:
        reason, gives_up, _ = self._loop.inspect(self._now, patient=False)
        assert bool(reason) == bool(self._loop.problem(self._now))
        assert not gives_up or reason

    def _do_begin(self) -> None:
        self._loop.begin()
        self._heard.clear()
        self._note_jump(self._embodiment.safe_action)

    def _do_reset(self) -> None:
        self._loop.safety.reset()
        assert not self._loop.safety.active

    def _do_rest(self) -> None:
        self._loop.rest(self._now)

    def _do_stop(self) -> None:
        self._note_jump(self._loop.stop())
        self._check_command(self._sent)

    def _do_fault(self, fault: Fault, lasting: bool) -> None:
        if self._embodiment.safety.policy(fault).reaction is Reaction.LIMIT:
            return  # only counted, never raised
        for event in self._loop.safety.raise_fault(fault, "drawn", self._now, lasting=lasting):
            assert event.to_json()

    def _do_gone(self) -> None:
        for fault in self._loop.safety.active:
            self._loop.safety.end_cause(fault, self._now)

    def _do_stall(self) -> None:
        block = self._loop.safety.block(self._now)
        if block is not None:
            command = self._loop.safety.replace(block.reaction, decides=False)
            self._check_command(command)
            self._note_replacement(command)

    def _check(self, decision: Decision) -> None:
        self.decisions += 1
        assert not self._misled
        self._check_command(decision.action)
        step = np.abs(decision.action - self._sent)
        embodiment = self._embodiment
        if decision.source is Source.POLICY:
            self.by_the_policy += 1
            assert not decision.reason
            assert not self._loop.safety.latched
            assert (step <= embodiment.action_max_step + 1e-12).all()
            self._note_motion(decision.action)
        else:
            assert decision.reason
            jumps = (embodiment.safe_action, np.zeros(2), self._sent)
            if not any(np.array_equal(decision.action, jump) for jump in jumps):
                # On a ramp, which takes a second from limit to limit.
                span = embodiment.action_high - embodiment.action_low
                longest = np.minimum(embodiment.action_max_step, span / embodiment.control_rate)
                smooth = np.isfinite(embodiment.action_max_change)  # it cannot slow down at once
                longest[smooth] = embodiment.action_max_step[smooth]
                assert (step <= longest + 1e-12).all()
            self._note_replacement(decision.action)
        for event in decision.events:
            assert event.to_json()

    def _note_replacement(self, command: NDArray[np.float64]) -> None:
        """A fault's reaction: on a robot that ramps it is a motion, on others it comes at once."""
        if self._ramps:
            self._note_motion(command)
        else:
            self._note_jump(command)

    def _note_motion(self, command: NDArray[np.float64]) -> None:
        step = command - self._sent
        change = np.abs(step - self._step)
        assert (change <= self._embodiment.action_max_change + 1e-12).all()
        self._sent, self._step = command, step

    def _note_jump(self, command: NDArray[np.float64]) -> None:
        """What stops the robot comes without regard to acceleration; motion starts anew from it."""
        self._sent, self._step = command, np.zeros(len(command))

    def _check_command(self, action: NDArray[np.float64]) -> None:
        embodiment = self._embodiment
        data = messages.serialize(encode_action(embodiment, action, 0))
        sent = decode_action(embodiment, messages.deserialize(data, embodiment.action.type.value))
        assert sent.shape == (2,)
        assert np.isfinite(sent).all()
        assert (embodiment.action_low <= sent).all()
        assert (sent <= embodiment.action_high).all()


def _damaged(data: bytes, how: str, place: int, other: bytes) -> bytes:
    if how == "replace":
        return other
    place %= len(data)
    if how == "cut":
        return data[:place]
    return data[:place] + bytes([data[place] ^ (other[0] if other else 0xFF)]) + data[place + 1 :]
