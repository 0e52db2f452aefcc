"""Decode messages into the observation, by the embodiment's contract."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment, ObservationChannel
from gac_ros.errors import DecodeError
from gac_ros.messages import FLOAT64_MULTI_ARRAY, JOINT_STATE, NANOSECONDS
from gac_ros.patterns import PatternReader, read_stamp


class ChannelDecoder:
    """Decodes the messages of one topic to its part of the observation."""

    def __init__(self, channel: ObservationChannel) -> None:
        self.channel = channel
        self._scale = np.array([field.scale for field in channel.fields])
        unlimited = (-np.inf, np.inf)
        self._low = np.array([(field.clip or unlimited)[0] for field in channel.fields])
        self._high = np.array([(field.clip or unlimited)[1] for field in channel.fields])
        self._clips = any(field.clip is not None for field in channel.fields)
        self._read = _reader(channel)

    def decode(self, message: Any) -> NDArray[np.float64]:
        """The channel's numbers, float64 of shape (fields,), scaled and clipped.

        NaN and infinity pass through, clipped or not: what to do about them is the controller's
        decision.

        Raises:
            DecodeError: a joint or an element is missing.
        """
        return self.scale(self.read(message))

    def read(self, message: Any) -> NDArray[np.float64]:
        """The channel's numbers as the message has them, float64 of shape (fields,).

        Raises:
            DecodeError: a joint or an element is missing.
        """
        return self._read(message)

    def scale(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Numbers as the policy sees them, of numbers as read; shape (..., fields).

        What is not finite stays so: a broken sensor must not look like one at its limit.
        """
        scaled = values * self._scale
        if not self._clips:
            return scaled
        clipped: NDArray[np.float64] = np.clip(scaled, self._low, self._high)
        infinite = np.isinf(values)
        if infinite.any():
            clipped[infinite] = scaled[infinite]
        return clipped


def _reader(channel: ObservationChannel) -> Callable[[Any], NDArray[np.float64]]:
    if channel.type == JOINT_STATE:
        return _JointStateReader(channel)
    if channel.type == FLOAT64_MULTI_ARRAY:
        return _ArrayReader(channel)
    getters = [attrgetter(field.select) for field in channel.fields]
    return lambda message: np.array([get(message) for get in getters], dtype=np.float64)


class _JointStateReader:
    """Matches joints by name; the match is kept while the publisher keeps its order."""

    def __init__(self, channel: ObservationChannel) -> None:
        self._topic = channel.topic
        self._wanted = [field.select.split(".", 1) for field in channel.fields]
        self._names: list[str] | None = None
        # Per quantity: where its fields stand in the channel, and which joints they read.
        self._columns: list[tuple[str, NDArray[np.intp], NDArray[np.intp]]] = []

    def __call__(self, message: Any) -> NDArray[np.float64]:
        if message.name != self._names:
            self._match(list(message.name))
        values = np.empty(len(self._wanted))
        for quantity, positions, joints in self._columns:
            numbers = np.asarray(getattr(message, quantity), dtype=np.float64)
            if len(numbers) != len(message.name):
                raise DecodeError(
                    f"{self._topic}: {quantity} has {len(numbers)} numbers for "
                    f"{len(message.name)} joints; the publisher must fill '{quantity}'"
                )
            values[positions] = numbers[joints]
        return values

    def _match(self, names: list[str]) -> None:
        if len(set(names)) != len(names):
            raise DecodeError(f"{self._topic}: a joint appears twice in {names}")
        missing = sorted({joint for _, joint in self._wanted if joint not in names})
        if missing:
            raise DecodeError(
                f"{self._topic}: joint {', '.join(missing)} is missing; the message has "
                f"{', '.join(names) or 'no joints'}"
            )
        columns = []
        for quantity in ("position", "velocity", "effort"):
            positions = [i for i, (kind, _) in enumerate(self._wanted) if kind == quantity]
            if positions:
                joints = [names.index(self._wanted[i][1]) for i in positions]
                columns.append((quantity, np.array(positions), np.array(joints)))
        self._columns = columns
        self._names = names


class _ArrayReader:
    def __init__(self, channel: ObservationChannel) -> None:
        self._topic = channel.topic
        self._indices = np.array([int(field.select.split(".")[1]) for field in channel.fields])

    def __call__(self, message: Any) -> NDArray[np.float64]:
        data = np.asarray(message.data, dtype=np.float64)
        if len(data) <= self._indices.max():
            raise DecodeError(
                f"{self._topic}: the array has {len(data)} elements, the embodiment reads "
                f"data.{self._indices.max()}"
            )
        return data[self._indices]


class ObservationFrame:
    """The newest value of every channel, with the time it arrived.

    Mutable on purpose: it is the controller's one view of the robot, updated by each message.
    Never filled with zeros: an observation exists only when every channel has been heard.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._max_stamp_age = embodiment.safety.max_stamp_age
        self._stamp_ages: dict[str, float] = {}  # at arrival, in seconds
        self._decoders: dict[str, ChannelDecoder] = {}
        self._readers: dict[str, PatternReader] = {}
        self._slices: dict[str, slice] = {}
        start = 0
        for channel in embodiment.observation:
            self._decoders[channel.topic] = ChannelDecoder(channel)
            self._slices[channel.topic] = slice(start, start + len(channel.fields))
            read = self._decoders[channel.topic].read
            self._readers[channel.topic] = PatternReader(channel.type, read)
            start += len(channel.fields)
        self._values = np.full(start, np.nan)
        self._received: dict[str, float] = {}
        self._fresh: set[str] = set()

    def clear(self) -> None:
        """Forget everything, as at the start of an episode."""
        self._values[:] = np.nan
        self._received.clear()
        self._stamp_ages.clear()
        self._fresh.clear()

    def update(self, topic: str, message: Any, received: float, ros_now: int | None = None) -> None:
        """Take in a message of a channel.

        Args:
            topic: as in the embodiment.
            message: decoded.
            received: seconds on the caller's clock.
            ros_now: nanoseconds on the clock of the stamps; None when stamps do not count.

        Raises:
            DecodeError: the message lacks something. The channel counts as heard, so that a
                decision follows, but keeps its older value and age.
        """
        self._fresh.add(topic)
        numbers = self._decoders[topic].read(message)
        stamp = None
        if ros_now is not None and topic in self._max_stamp_age:
            written = message.header.stamp
            stamp = written.sec * NANOSECONDS + written.nanosec
        self._take_in(topic, numbers, stamp, received, ros_now)

    def update_alike(
        self, topic: str, data: bytes, received: float, ros_now: int | None = None
    ) -> bool:
        """As `update` with bytes, if they are laid out as others were that `learn` has seen.

        Returns:
            Whether they were taken in; otherwise nothing has happened.
        """
        numbers = self._readers[topic].numbers(data)
        if numbers is None:
            return False
        self._fresh.add(topic)
        stamped = ros_now is not None and topic in self._max_stamp_age
        stamp = read_stamp(data) if stamped else None
        self._take_in(topic, numbers, stamp, received, ros_now)
        return True

    def learn(self, topic: str, data: bytes) -> None:
        """Have `update_alike` take in messages like this one; takes longer than decoding it."""
        self._readers[topic].learn(data)

    def _take_in(
        self,
        topic: str,
        numbers: NDArray[np.float64],
        stamp: int | None,
        received: float,
        ros_now: int | None,
    ) -> None:
        self._values[self._slices[topic]] = self._decoders[topic].scale(numbers)
        self._received[topic] = received
        if ros_now is not None and stamp is not None:
            self._stamp_ages[topic] = (ros_now - stamp) / NANOSECONDS

    def missing(self) -> tuple[str, ...]:
        """Topics not heard since the last `clear`."""
        return tuple(topic for topic in self._decoders if topic not in self._received)

    def stale(self, now: float) -> tuple[str, ...]:
        """Topics heard before, but longer ago than their maximum age."""
        return tuple(
            topic
            for topic, received in self._received.items()
            if now - received > self._decoders[topic].channel.max_age
        )

    def misdated(self, now: float) -> list[tuple[str, float]]:
        """Topics whose stamp is too old or in the future, each with its age in seconds."""
        ages = [
            (topic, age + now - self._received[topic]) for topic, age in self._stamp_ages.items()
        ]
        return [(topic, age) for topic, age in ages if abs(age) > self._max_stamp_age[topic]]

    def age(self, now: float) -> float:
        """Seconds since the oldest channel was heard; infinite while one is missing."""
        if self.missing():
            return float("inf")
        return now - min(self._received.values())

    @property
    def fresh(self) -> bool:
        """Whether every channel was heard since the last `take`."""
        return len(self._fresh) == len(self._decoders)

    def take(self) -> NDArray[np.float64]:
        """The observation, float64 of shape (O,); NaN where a channel was never heard."""
        self._fresh.clear()
        return self._values.copy()
