"""What is read and written by layout has exactly the bits that decoding and encoding give it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.errors import DecodeError
from gac_ros.patterns import PatternReader, Template, read_stamp

numbers = st.floats(width=64)
stamps = st.integers(0, (2**31 - 1) * messages.NANOSECONDS)
names = st.lists(st.sampled_from(("hip", "knee", "ankle", "é", "")), max_size=3)


def positions(message: Any) -> NDArray[np.float64]:
    if len(message.position) != len(message.name):
        raise DecodeError("a position is missing")
    return np.array(message.position)


@st.composite
def joint_states(draw: st.DrawFn) -> bytes:
    known = draw(names)
    count = len(known) + draw(st.sampled_from((0, 0, 0, 0, 1)))
    values = st.lists(numbers, min_size=count, max_size=count)
    message = messages.joint_state(
        draw(stamps), known, position=draw(values), velocity=draw(st.just([]) | values)
    )
    data = messages.serialize(message)
    if draw(st.integers(0, 3)) == 0:
        place = draw(st.integers(0, len(data) - 1))
        data = data[:place] + bytes([draw(st.integers(0, 255))]) + data[place + 1 :]
    return data


@settings(deadline=None, max_examples=200)
@given(st.lists(joint_states(), min_size=2, max_size=12))
def test_what_a_reader_knows_it_reads_as_decoding_does(sent: list[bytes]) -> None:
    reader = PatternReader(messages.JOINT_STATE, positions)
    for data in sent:
        found = reader.numbers(data)
        if found is not None:
            message = messages.deserialize(data, messages.JOINT_STATE)
            stamp = message.header.stamp
            assert found.tobytes() == positions(message).tobytes()
            assert read_stamp(data) == stamp.sec * messages.NANOSECONDS + stamp.nanosec
        reader.learn(data)


def joint_state(*joints: str, value: float = 0.5) -> bytes:
    return messages.serialize(messages.joint_state(7, joints, position=[value] * len(joints)))


def test_a_reader_knows_messages_that_differ_in_numbers_and_stamp_alone() -> None:
    reader = PatternReader(messages.JOINT_STATE, positions)
    assert reader.numbers(joint_state("hip", "knee")) is None

    reader.learn(joint_state("hip", "knee"))

    later = messages.serialize(messages.joint_state(8, ["hip", "knee"], position=[1.0, np.nan]))
    np.testing.assert_array_equal(reader.numbers(later), [1.0, np.nan])
    assert reader.numbers(joint_state("pih", "knee")) is None
    assert reader.numbers(joint_state("hip")) is None
    assert reader.numbers(b"") is None


def test_a_reader_takes_the_newest_layout_of_each_length() -> None:
    reader = PatternReader(messages.JOINT_STATE, positions)

    for joints in (("hip", "knee"), ("knee", "hip"), ("hip",)):
        reader.learn(joint_state(*joints))

    assert reader.numbers(joint_state("hip", "knee")) is None
    assert reader.numbers(joint_state("knee", "hip")) is not None
    assert reader.numbers(joint_state("hip")) is not None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1\0\0noise",
        joint_state("hip")[:-3],
        messages.serialize(messages.joint_state(0, ["hip"])),
        b"\0\0" + joint_state("hip")[2:],  # says that it is big-endian
    ],
)
def test_a_reader_learns_nothing_from_what_is_no_good_message(data: bytes) -> None:
    reader = PatternReader(messages.JOINT_STATE, positions)

    for _ in range(20):
        reader.learn(data)
    reader.learn(joint_state("hip"))

    assert reader.numbers(data) is None
    assert reader.numbers(joint_state("hip", value=2.0)) is not None


def test_a_reader_does_not_follow_a_publisher_that_never_stays_with_a_layout() -> None:
    made = []

    def counted(message: Any) -> NDArray[np.float64]:
        made.append(message)
        return positions(message)

    reader = PatternReader(messages.JOINT_STATE, counted)

    for number in range(50):
        reader.learn(joint_state(f"joint_{number}"))

    assert 2 <= len(made) <= 10


@settings(deadline=None)
@given(stamp=stamps, values=st.lists(numbers, min_size=3, max_size=3))
def test_a_template_writes_the_bytes_that_encoding_does(stamp: int, values: list[float]) -> None:
    def message(stamp: int, values: list[float]) -> Any:
        return messages.joint_state(stamp, ["é", "knee", ""], position=values)

    template = Template(message(0, [0.0] * 3), positions, stamped=True)

    assert template.fill(values, stamp) == messages.serialize(message(stamp, values))


def test_a_template_is_filled_anew_each_time() -> None:
    template = Template(messages.float64_multi_array([0.0] * 2), lambda message: message.data)

    first, second = template.fill([1.0, 2.0]), template.fill([3.0, 4.0])

    read = partial(messages.deserialize, type_name=messages.FLOAT64_MULTI_ARRAY)
    assert [list(read(data).data) for data in (first, second)] == [[1.0, 2.0], [3.0, 4.0]]
