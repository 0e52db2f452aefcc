"""The codec against itself and against rclpy's own serialisation."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rclpy.serialization import deserialize_message, serialize_message
from rosbags.typesys import Stores, get_typestore

from gac_ros import messages
from gac_ros.errors import DecodeError

# Every double is a fair value, NaN and infinity included: the codec carries bits.
numbers = st.floats(width=64)
stamps = st.integers(min_value=0, max_value=(2**31 - 1) * messages.NANOSECONDS)
names = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    max_size=5,
)


def vectors(size: int) -> st.SearchStrategy[Any]:
    return st.tuples(*[numbers] * size)


def floats(max_size: int = 6) -> st.SearchStrategy[Any]:
    return arrays(np.float64, st.integers(0, max_size), elements=numbers)


MESSAGES: dict[str, st.SearchStrategy[Any]] = {
    messages.JOINT_STATE: st.builds(
        messages.joint_state,
        stamps,
        names,
        position=floats(),
        velocity=floats(),
        effort=floats(),
    ),
    messages.ODOMETRY: st.builds(
        messages.odometry, stamps, vectors(3), vectors(4), vectors(3), vectors(3)
    ),
    messages.IMU: st.builds(messages.imu, stamps, vectors(4), vectors(3), vectors(3)),
    messages.FLOAT64_MULTI_ARRAY: st.builds(messages.float64_multi_array, floats(20)),
    messages.TWIST: st.builds(messages.twist, vectors(3), vectors(3)),
    messages.POSE_STAMPED: st.builds(messages.pose_stamped, stamps, vectors(3), vectors(4)),
    messages.JOINT_TRAJECTORY: st.builds(
        messages.joint_trajectory,
        stamps,
        names,
        time_from_start=st.floats(0.0, 1e6),
        positions=floats(),
        velocities=floats(),
        effort=floats(),
    ),
    messages.FLOAT64: st.builds(messages.float64, numbers),
    messages.STRING: st.builds(
        messages.string, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    ),
    messages.CLOCK: st.builds(messages.clock, stamps),
}
any_message = st.one_of(*MESSAGES.values())


def ros_class(kind: str) -> Any:
    package, _, name = kind.partition("/msg/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def content(message: Any) -> Any:
    """A message as plain data that compares bit by bit, so that NaN equals NaN."""
    if isinstance(message, (str, int)):
        return message
    if isinstance(message, float):
        return np.float64(message).tobytes()
    if isinstance(message, (list, tuple, np.ndarray)) or type(message).__name__ == "array":
        return [content(item) for item in message]
    if isinstance(message, np.floating):
        return np.float64(message).tobytes()
    fields = (
        message.get_fields_and_field_types()
        if hasattr(message, "get_fields_and_field_types")
        else [name for name in vars(message) if name != "__msgtype__"]
    )
    return {name: content(getattr(message, name)) for name in fields}


@settings(deadline=None)
@given(message=any_message)
def test_every_message_survives_its_bytes(message: Any) -> None:
    data = messages.serialize(message)

    assert isinstance(data, bytes)
    assert content(messages.deserialize(data, message.__msgtype__)) == content(message)


@settings(deadline=None)
@given(message=any_message)
def test_rclpy_reads_our_bytes_as_the_same_message(message: Any) -> None:
    theirs = deserialize_message(messages.serialize(message), ros_class(message.__msgtype__))

    assert content(theirs) == content(message)


@settings(deadline=None)
@given(message=any_message)
def test_we_read_the_bytes_of_rclpy_as_the_same_message(message: Any) -> None:
    kind, data = message.__msgtype__, messages.serialize(message)
    # `serialize_message` hands out its estimate of the length, with a tail of noise where an
    # empty array needs no alignment. What Fast DDS puts on the wire ends with the message.
    theirs = serialize_message(deserialize_message(data, ros_class(kind)))[: len(data)]

    assert content(messages.deserialize(theirs, kind)) == content(message)


@settings(deadline=None)
@given(message=any_message, cut=st.floats(0.0, 1.0, exclude_max=True))
def test_bytes_that_are_cut_short_are_a_decode_error_or_a_whole_message(
    message: Any, cut: float
) -> None:
    kind = message.__msgtype__
    data = messages.serialize(message)
    try:
        found = messages.deserialize(data[: int(len(data) * cut)], kind)
    except DecodeError:
        return

    assert found.__msgtype__ == kind


@settings(deadline=None)
@given(data=st.binary(max_size=64), kind=st.sampled_from(sorted(MESSAGES)))
def test_noise_is_a_decode_error_or_a_message_but_never_another_error(
    data: bytes, kind: str
) -> None:
    try:
        found = messages.deserialize(data, kind)
    except DecodeError:
        return

    assert found.__msgtype__ == kind


def test_a_decode_error_names_the_type_and_the_remedy() -> None:
    with pytest.raises(DecodeError, match=r"3 bytes.*nav_msgs/msg/Odometry.*embodiment"):
        messages.deserialize(b"\0\1\0", messages.ODOMETRY)


def test_a_prepared_type_is_read_without_generating_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = messages.ODOMETRY
    data = messages.serialize(messages.odometry(0, (0.0,) * 3, (1.0,) * 4, (0.0,) * 3, (0.0,) * 3))
    store = get_typestore(Stores.ROS2_JAZZY)
    monkeypatch.setattr(messages, "typestore", lambda: store)

    messages.prepare(kind)

    known = set(store.cache)
    assert kind in known
    messages.deserialize(data, kind)
    assert set(store.cache) == known


@settings(deadline=None)
@given(stamp=stamps)
def test_a_stamp_is_split_into_seconds_and_nanoseconds(stamp: int) -> None:
    time = messages.time_message(stamp)

    assert time.sec * messages.NANOSECONDS + time.nanosec == stamp
    assert 0 <= time.nanosec < messages.NANOSECONDS


def test_quaternions_are_given_w_first_and_stored_by_name() -> None:
    quaternion = messages.quaternion((0.1, 0.2, 0.3, 0.4))

    assert (quaternion.w, quaternion.x, quaternion.y, quaternion.z) == (0.1, 0.2, 0.3, 0.4)


def test_arrays_in_messages_do_not_share_memory_with_a_changed_source() -> None:
    data = messages.serialize(messages.float64_multi_array(np.array([1.0, 2.0])))

    first = messages.deserialize(data, messages.FLOAT64_MULTI_ARRAY)

    assert np.array_equal(np.array(first.data), [1.0, 2.0])
