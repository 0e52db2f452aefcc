"""Many messages decoded at once have exactly the numbers that they have one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gac_ros import messages, patterns
from gac_ros.buffer import columns
from gac_ros.buffer.columns import decode_columns
from gac_ros.errors import DecodeError
from gac_ros.patterns import Pattern

FLOATS = st.floats(width=64)
WORDS = st.text(alphabet="abcé_/", max_size=6)
STAMPS = st.integers(0, 2**60)


def vectors(size: int) -> st.SearchStrategy[list[float]]:
    return st.lists(FLOATS, min_size=size, max_size=size)


@st.composite
def joint_states(draw: st.DrawFn) -> Any:
    names = draw(st.lists(WORDS, max_size=3))
    quantity = st.one_of(st.just([]), vectors(len(names)))
    message = messages.joint_state(
        draw(STAMPS), names, position=draw(quantity), velocity=draw(quantity), effort=draw(quantity)
    )
    message.header.frame_id = draw(WORDS)
    return message


@st.composite
def odometries(draw: st.DrawFn) -> Any:
    return messages.odometry(
        draw(STAMPS), *(draw(vectors(size)) for size in (3, 4, 3, 3)),
        frame=draw(WORDS), child_frame=draw(WORDS),
    )  # fmt: skip


@st.composite
def imus(draw: st.DrawFn) -> Any:
    return messages.imu(
        draw(STAMPS), *(draw(vectors(size)) for size in (4, 3, 3)), frame=draw(WORDS)
    )


@st.composite
def trajectories(draw: st.DrawFn) -> Any:
    names = draw(st.lists(WORDS, max_size=3))
    message = messages.joint_trajectory(
        draw(STAMPS), names, time_from_start=0.5, positions=draw(vectors(len(names)))
    )
    if draw(st.integers(0, 4)) == 0:
        message.points = []
    return message


@st.composite
def arrays(draw: st.DrawFn) -> Any:
    message = messages.float64_multi_array(draw(st.lists(FLOATS, max_size=4)))
    if draw(st.booleans()):
        dimension = messages.message_class("std_msgs/msg/MultiArrayDimension")
        message.layout.dim = [dimension(label=draw(WORDS), size=1, stride=2)]
    return message


KINDS: dict[str, st.SearchStrategy[Any]] = {
    messages.JOINT_STATE: joint_states(),
    messages.ODOMETRY: odometries(),
    messages.IMU: imus(),
    messages.JOINT_TRAJECTORY: trajectories(),
    messages.FLOAT64_MULTI_ARRAY: arrays(),
    messages.FLOAT64: FLOATS.map(messages.float64),
    messages.TWIST: st.builds(messages.twist, vectors(3), vectors(3)),
}
_MOST = 100  # numbers in a message


def all_numbers(message: Any) -> NDArray[np.float64]:
    """Every float64 number of a message, and zeros after them."""
    found: list[float] = []

    def collect(value: Any) -> None:
        if isinstance(value, float):
            found.append(value)
        elif isinstance(value, np.ndarray) and value.dtype == np.float64:
            found.extend(value)
        elif isinstance(value, list):
            for each in value:
                collect(each)
        elif hasattr(value, "__dataclass_fields__"):
            for name in value.__dataclass_fields__:
                collect(getattr(value, name))

    collect(message)
    return np.array(found)


def renumbered(message: Any, rng: np.random.Generator) -> Any:
    """A message of the same layout with other numbers, some of them odd ones."""
    odd = [np.nan, np.inf, -0.0, 5e-324, patterns._FIRST_MARK]

    def other() -> float:
        return float(rng.choice(odd) if rng.random() < 0.2 else rng.normal())

    def change(value: Any) -> None:
        for name in value.__dataclass_fields__:
            old = getattr(value, name)
            if isinstance(old, float):
                setattr(value, name, other())
            elif isinstance(old, np.ndarray):
                setattr(value, name, np.array([other() for _ in old]))
            else:
                for part in old if isinstance(old, list) else [old]:
                    if hasattr(part, "__dataclass_fields__"):
                        change(part)

    copy = messages.deserialize(messages.serialize(message), message.__msgtype__)
    change(copy)
    return copy


def reading(count: int, *, some: bool) -> Callable[[Any], NDArray[np.float64]]:
    """Reads `count` numbers, the last ones first; `some`: only from messages of so many."""

    def read(message: Any) -> NDArray[np.float64]:
        numbers = all_numbers(message)
        if len(numbers) < count or (some and len(numbers) != count):
            raise DecodeError(f"it has {len(numbers)} numbers")
        return numbers[::-1][:count]

    return read


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_values_are_those_of_rosbags(kind: str, data: st.DataObject) -> None:
    # Few layouts, each many times with other numbers, as on a topic.
    few = data.draw(st.lists(KINDS[kind], min_size=1, max_size=4))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    recorded = [messages.serialize(renumbered(few[rng.integers(len(few))], rng)) for _ in range(60)]
    read = reading(data.draw(st.integers(0, 7)), some=data.draw(st.booleans()))
    width = len(next((read(m) for m in few if _can(read, m)), []))

    made = decode_columns(recorded, kind, read, width)

    problems = []
    for row, each in enumerate(recorded):
        message = messages.deserialize(each, kind)
        try:
            expected = read(message)
        except DecodeError as error:
            problems.append(str(error))
            assert not made.readable[row]
            assert np.isnan(made.values[row]).all()
        else:
            assert made.readable[row]
            assert made.values[row].tobytes() == expected.tobytes()
    assert made.problem == (problems[0] if problems else "")


def _can(read: Callable[[Any], NDArray[np.float64]], message: Any) -> bool:
    try:
        read(message)
    except DecodeError:
        return False
    return True


def states(count: int, names: tuple[str, ...] = ("a", "b")) -> list[bytes]:
    rng = np.random.default_rng(count)
    return [
        messages.serialize(messages.joint_state(i, names, position=rng.normal(size=len(names))))
        for i in range(count)
    ]


def positions(message: Any) -> NDArray[np.float64]:
    return np.asarray(message.position)


def test_equal_layouts_are_not_decoded_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = states(5000) + states(3000, ("b", "a"))
    decoded: list[bytes] = []
    deserialize = messages.deserialize

    def count(data: bytes, type_name: str) -> Any:
        decoded.append(data)
        return deserialize(data, type_name)

    monkeypatch.setattr(messages, "deserialize", count)
    made = decode_columns(recorded, messages.JOINT_STATE, positions, 2)

    assert len(decoded) == 4  # each layout as it is, and with marks
    assert made.values[:5000].tolist() == [
        list(deserialize(each, messages.JOINT_STATE).position) for each in recorded[:5000]
    ]


def test_more_layouts_than_are_worth_a_pattern_are_decoded_all_the_same() -> None:
    layouts = [(f"{first}{second}",) for first in "abcd" for second in "abcd"]
    recorded = [each for names in layouts for each in states(20, names)]

    made = decode_columns(recorded, messages.JOINT_STATE, positions, 1)

    assert len(layouts) > columns._PATTERNS
    expected = [messages.deserialize(each, messages.JOINT_STATE).position for each in recorded]
    assert made.values.tolist() == [list(each) for each in expected]


def test_padding_may_hold_anything() -> None:
    recorded = [bytearray(each) for each in states(30, ("abc",))]
    walked = patterns._Walk(bytes(recorded[0]))
    walked.message(messages.JOINT_STATE)
    for number, each in enumerate(recorded):
        # Between the end of the frame's name (a zero) and the number of joints.
        each[17:20] = bytes([number, 255 - number, 7])

    made = decode_columns([bytes(each) for each in recorded], messages.JOINT_STATE, positions, 1)

    assert made.readable.all()
    one_by_one = [messages.deserialize(bytes(e), messages.JOINT_STATE).position for e in recorded]
    assert made.values.tolist() == [list(each) for each in one_by_one]
    assert Pattern(bytes(recorded[0]), messages.JOINT_STATE, positions).understood


def test_numbers_of_the_other_byte_order_are_decoded() -> None:
    values = np.arange(20.0)
    store = messages.typestore()
    recorded = [
        bytes(store.serialize_cdr(messages.float64(value), messages.FLOAT64, little_endian=False))
        for value in values
    ]

    made = decode_columns(recorded, messages.FLOAT64, lambda m: np.array([m.data]), 1)

    assert made.values[:, 0].tolist() == values.tolist()


def test_a_reader_that_computes_is_served_one_by_one() -> None:
    recorded = states(40)

    made = decode_columns(recorded, messages.JOINT_STATE, lambda m: 2.0 * m.position, 2)

    expected = [2.0 * messages.deserialize(e, messages.JOINT_STATE).position for e in recorded]
    assert np.array_equal(made.values, expected)


@settings(max_examples=200, deadline=None)
@given(
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
    cut=st.integers(0, 30),
)
def test_damaged_bytes_are_an_error_or_what_rosbags_makes_of_them(
    place: int, bit: int, cut: int
) -> None:
    recorded = states(30)
    damaged = bytearray(recorded[11])
    damaged[place % len(damaged)] ^= 1 << bit
    recorded[11] = bytes(damaged[: len(damaged) - cut])

    def first(message: Any) -> NDArray[np.float64]:
        if len(message.position) < 2:
            raise DecodeError("too short")
        return np.asarray(message.position[:2])

    try:
        expected = first(messages.deserialize(recorded[11], messages.JOINT_STATE))
    except DecodeError:
        expected = None
    try:
        made = decode_columns(recorded, messages.JOINT_STATE, first, 2)
    except DecodeError:
        assert expected is None
        return
    if expected is None:
        assert not made.readable[11]
    else:
        assert made.values[11].tobytes() == expected.tobytes()
    assert made.readable.sum() >= 29


def test_no_messages_give_no_numbers() -> None:
    made = decode_columns([], messages.FLOAT64, lambda m: np.array([m.data]), 1)

    assert made.values.shape == (0, 1)
    assert made.problem == ""
