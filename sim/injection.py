"""Faults of a sensor, made on purpose: what a controller must survive is done to it here.

No ROS and no wall clock: the node gives the time, and sends what comes out.
"""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gac_ros import messages
from gac_ros.embodiment import Embodiment, ObservationChannel
from gac_ros.errors import ConfigurationError

Kind = Literal[
    "drop", "delay", "reorder", "freeze", "corrupt", "nan", "kill", "stall", "jump_clock", "none"
]
_OF_MESSAGES = ("drop", "delay", "reorder", "freeze", "corrupt", "nan")
_OF_A_TOPIC = (*_OF_MESSAGES, "kill")
# Bytes of the CDR header, which tell the byte order; a message without it is none at all.
_CDR_HEADER = 4


class Injection(BaseModel):
    """One fault to make.

    Attributes:
        kind: `drop`: messages are lost. `delay`: they come `seconds` later. `reorder`: each second
            one comes before the one that it follows. `freeze`: the last one comes again and again,
            stamp and all. `corrupt`: one byte in eight is wrong. `nan`: every observed number is
            NaN. `kill`: the publisher goes. `stall`: the whole robot stands still. `jump_clock`:
            simulated time, with every stamp, jumps by `seconds`. `none`: all is well again.
        topic: an observation topic as in the embodiment.
        seconds: the delay, or how long a stall or a publisher's absence lasts (0.0: until `none`),
            or the size of the jump.
        count: messages that are affected; 0 for all until the next injection for the topic.

    A topic has one fault at a time: a new one takes the place of the last, a killed publisher's
    absence included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Kind
    topic: str = ""
    seconds: float = Field(default=0.0, ge=-1e6, le=1e6)
    count: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _is_complete(self) -> Injection:
        if (self.topic == "") == (self.kind in _OF_A_TOPIC):
            needs = "needs" if self.kind in _OF_A_TOPIC else "has no"
            raise ValueError(f"'{self.kind}' {needs} 'topic'")
        if self.seconds < 0.0 and self.kind != "jump_clock":
            raise ValueError("'seconds' must not be negative")
        if self.seconds == 0.0 and self.kind in ("delay", "jump_clock", "stall"):
            raise ValueError(f"'{self.kind}' needs 'seconds'")
        if self.count and self.kind not in _OF_MESSAGES:
            raise ValueError(f"'{self.kind}' has no 'count': it is no fault of single messages")
        return self


def parse_injection(text: str, embodiment: Embodiment) -> Injection:
    """Read the JSON of an injection; an empty text is `none`.

    Raises:
        ConfigurationError: it is not one.
    """
    if not text:
        return Injection(kind="none")
    try:
        injection = Injection.model_validate(json.loads(text))
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        what = problem["msg"].removeprefix("Value error, ")
        raise ConfigurationError(
            f"inject_fault: {f'{where}: ' if where else ''}{what}; kinds are "
            f"{', '.join(get_args(Kind))}"
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"inject_fault: not JSON ({error}); write for example "
            '\'{"kind": "drop", "topic": "odom"}\''
        ) from error
    topics = [channel.topic for channel in embodiment.observation]
    if injection.topic and injection.topic not in topics:
        raise ConfigurationError(
            f"inject_fault: '{injection.topic}' is no observation topic; there are "
            f"{', '.join(topics)}"
        )
    return injection


class Injector:
    """Makes the faults of the observation topics.

    Args:
        embodiment: of the robot.
        seed: of what is corrupted.

    Attributes:
        stalled_until: when the robot goes on, on the caller's clock; 0.0 when it is going.
        clock_offset: nanoseconds by which simulated time has jumped.
    """

    def __init__(self, embodiment: Embodiment, seed: int = 0) -> None:
        self._channels = {channel.topic: channel for channel in embodiment.observation}
        self._random = np.random.default_rng(seed)
        self._faults: dict[str, Injection] = {}
        self._left: dict[str, int] = {}  # messages still to be affected
        self._kept: dict[str, bytes] = {}  # frozen, or waiting for their turn
        self._delayed: list[tuple[float, str, bytes]] = []
        self._back: dict[str, float] = {}  # when a killed publisher comes back
        self.stalled_until = 0.0
        self.clock_offset = 0

    def apply(self, injection: Injection, now: float) -> None:
        """Begin a fault; `now` in seconds."""
        if injection.kind == "none":
            self._faults.clear()
            self._kept.clear()
            self._delayed.clear()
            self._back.clear()
            self.stalled_until = 0.0
        elif injection.kind == "stall":
            self.stalled_until = now + injection.seconds
        elif injection.kind == "jump_clock":
            self.clock_offset += round(injection.seconds * messages.NANOSECONDS)
        else:
            topic = injection.topic
            self._faults[topic] = injection
            self._left[topic] = injection.count
            self._kept.pop(topic, None)
            self._back.pop(topic, None)
            if injection.kind == "kill":
                self._back[topic] = now + (injection.seconds or np.inf)

    def killed(self, now: float) -> frozenset[str]:
        """Topics without a publisher now."""
        for topic, back in list(self._back.items()):
            if now >= back:
                del self._back[topic], self._faults[topic]
        return frozenset(self._back)

    def send(self, topic: str, message: Any, now: float) -> list[bytes]:
        """What is published now in place of a message."""
        fault = self._faults.get(topic)
        if fault is None:
            return [messages.serialize(message)]
        sent = self._distort(fault, message, now)
        if fault.count:
            self._left[topic] -= 1
            if self._left[topic] == 0:
                del self._faults[topic]
                if fault.kind == "reorder" and topic in self._kept:
                    sent.append(self._kept.pop(topic))
        return sent

    def due(self, now: float) -> list[tuple[str, bytes]]:
        """Delayed messages whose time has come, in their order; none while the robot is stalled."""
        if now < self.stalled_until:
            return []
        due = [(topic, data) for when, topic, data in self._delayed if when <= now]
        self._delayed = [entry for entry in self._delayed if entry[0] > now]
        return due

    def next_due(self) -> float:
        """When the next delayed message is due; infinite without one."""
        earliest = min((when for when, _, _ in self._delayed), default=np.inf)
        return max(earliest, self.stalled_until)

    def _distort(self, fault: Injection, message: Any, now: float) -> list[bytes]:
        if fault.kind == "nan":
            _fill_with_nan(self._channels[fault.topic], message)
        data = messages.serialize(message)
        if fault.kind == "delay":
            self._delayed.append((now + fault.seconds, fault.topic, data))
            return []
        if fault.kind == "freeze":
            return [self._kept.setdefault(fault.topic, data)]
        if fault.kind == "reorder":
            earlier = self._kept.pop(fault.topic, None)
            if earlier is None:
                self._kept[fault.topic] = data
                return []
            return [data, earlier]
        if fault.kind == "corrupt":
            return [self._corrupt(data)]
        return [data] if fault.kind == "nan" else []

    def _corrupt(self, data: bytes) -> bytes:
        body = np.frombuffer(data, np.uint8).copy()
        wrong = self._random.random(len(body)) < 1.0 / 8.0
        wrong[:_CDR_HEADER] = False
        body[wrong] = self._random.integers(0, 256, int(wrong.sum()), dtype=np.uint8)
        return body.tobytes()


def _fill_with_nan(channel: ObservationChannel, message: Any) -> None:
    if channel.type in (messages.JOINT_STATE, messages.FLOAT64_MULTI_ARRAY):
        for part in {field.select.split(".")[0] for field in channel.fields}:
            setattr(message, part, np.full(len(getattr(message, part)), np.nan))
        return
    for field in channel.fields:
        *path, last = field.select.split(".")
        holder = message
        for name in path:
            holder = getattr(holder, name)
        setattr(holder, last, np.nan)
