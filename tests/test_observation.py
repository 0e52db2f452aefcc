"""Messages become observations by the embodiment, joints by name, whatever the order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.embodiment import Embodiment, ObservationChannel, embodiment_from_dict
from gac_ros.errors import DecodeError
from gac_ros.observation import ChannelDecoder, ObservationFrame

numbers = st.floats(width=64)


def channel(kind: str, *fields: dict[str, Any]) -> ObservationChannel:
    return ObservationChannel.model_validate(
        {"topic": "state", "type": kind, "max_age": 0.1, "fields": list(fields)}
    )


def robot() -> Embodiment:
    """Observes x of `odom` and the elbow of `joint_states`."""
    return embodiment_from_dict(
        {
            "name": "arm",
            "control_rate": 50.0,
            "episode_length": 20,
            "observation": [
                {
                    "topic": "odom",
                    "type": messages.ODOMETRY,
                    "max_age": 0.1,
                    "fields": [{"select": "pose.pose.position.x", "unit": "m"}],
                },
                {
                    "topic": "joint_states",
                    "type": messages.JOINT_STATE,
                    "max_age": 0.5,
                    "fields": [{"select": "position.elbow", "unit": "rad"}],
                },
            ],
            "action": {
                "topic": "commands",
                "type": messages.FLOAT64_MULTI_ARRAY,
                "fields": [{"joint": "elbow", "unit": "N*m", "limits": [-1.0, 1.0]}],
            },
            "return": {"source": "label"},
        },
        origin="test",
    )


def odometry(x: float) -> Any:
    return messages.odometry(0, (x, 0, 0), (1, 0, 0, 0), (0, 0, 0), (0, 0, 0))


def joints(**positions: float) -> Any:
    return messages.joint_state(0, list(positions), position=list(positions.values()))


@settings(deadline=None)
@given(
    order=st.permutations(["hip", "knee", "ankle", "toe"]),
    values=st.tuples(*[numbers] * 4),
)
def test_joints_are_matched_by_name_in_whatever_order_they_come(
    order: list[str], values: tuple[float, ...]
) -> None:
    value_of = dict(zip(order, values, strict=True))
    decoder = ChannelDecoder(
        channel(
            messages.JOINT_STATE,
            {"select": "velocity.ankle", "unit": "rad/s"},
            {"select": "position.hip", "unit": "rad"},
            {"select": "effort.knee", "unit": "N*m"},
            {"select": "position.ankle", "unit": "rad"},
        )
    )
    message = messages.joint_state(
        0,
        order,
        position=[value_of[name] for name in order],
        velocity=[value_of[name] * 2.0 for name in order],
        effort=[value_of[name] * 3.0 for name in order],
    )
    expected = [value_of["ankle"] * 2.0, value_of["hip"], value_of["knee"] * 3.0, value_of["ankle"]]

    np.testing.assert_array_equal(decoder.decode(message), expected)


def test_a_publisher_may_change_its_order_of_joints_from_one_message_to_the_next() -> None:
    decoder = ChannelDecoder(channel(messages.JOINT_STATE, {"select": "position.b", "unit": "m"}))

    assert decoder.decode(joints(a=1.0, b=2.0)).tolist() == [2.0]
    assert decoder.decode(joints(b=3.0, a=4.0)).tolist() == [3.0]
    assert decoder.decode(joints(b=5.0)).tolist() == [5.0]


def test_a_missing_joint_is_named_with_those_that_came() -> None:
    decoder = ChannelDecoder(
        channel(
            messages.JOINT_STATE,
            {"select": "position.hip", "unit": "rad"},
            {"select": "position.knee", "unit": "rad"},
        )
    )

    with pytest.raises(DecodeError, match=r"state: joint knee is missing.*hip, toe"):
        decoder.decode(joints(hip=1.0, toe=2.0))
    with pytest.raises(DecodeError, match=r"hip, knee is missing.*no joints"):
        decoder.decode(joints())
    assert decoder.decode(joints(knee=2.0, hip=1.0)).tolist() == [1.0, 2.0]


def test_a_joint_that_comes_twice_is_an_error() -> None:
    decoder = ChannelDecoder(channel(messages.JOINT_STATE, {"select": "position.a", "unit": "m"}))

    with pytest.raises(DecodeError, match="twice"):
        decoder.decode(messages.joint_state(0, ["a", "a"], position=[1.0, 2.0]))


def test_a_quantity_that_the_publisher_leaves_empty_is_an_error_not_a_zero() -> None:
    decoder = ChannelDecoder(
        channel(messages.JOINT_STATE, {"select": "velocity.elbow", "unit": "rad/s"})
    )

    with pytest.raises(DecodeError, match=r"velocity has 0 numbers for 1 joints.*must fill"):
        decoder.decode(joints(elbow=1.0))


def test_an_array_that_is_too_short_is_an_error_not_a_zero() -> None:
    decoder = ChannelDecoder(
        channel(messages.FLOAT64_MULTI_ARRAY, {"select": "data.2", "unit": "any"})
    )

    assert decoder.decode(messages.float64_multi_array([1.0, 2.0, 3.0])).tolist() == [3.0]
    with pytest.raises(DecodeError, match=r"state: the array has 2 elements.*data\.2"):
        decoder.decode(messages.float64_multi_array([1.0, 2.0]))


FIXED: list[tuple[str, str, str, Any]] = [
    (
        messages.ODOMETRY,
        "pose.pose.position.y",
        "m",
        messages.odometry(0, (1, 2, 3), (4, 5, 6, 7), (8, 9, 10), (11, 12, 13)),
    ),
    (
        messages.ODOMETRY,
        "pose.pose.orientation.w",
        "1",
        messages.odometry(0, (1, 3, 3), (2, 5, 6, 7), (8, 9, 10), (11, 12, 13)),
    ),
    (
        messages.ODOMETRY,
        "twist.twist.angular.z",
        "rad/s",
        messages.odometry(0, (1, 3, 3), (3, 5, 6, 7), (8, 9, 10), (11, 12, 2)),
    ),
    (
        messages.IMU,
        "linear_acceleration.x",
        "m/s^2",
        messages.imu(0, (1,) * 4, (3,) * 3, (2, 4, 5)),
    ),
    (messages.IMU, "angular_velocity.y", "rad/s", messages.imu(0, (1,) * 4, (3, 2, 3), (4,) * 3)),
    (messages.IMU, "orientation.x", "1", messages.imu(0, (1, 2, 3, 4), (3,) * 3, (4,) * 3)),
    (messages.TWIST, "linear.x", "m/s", messages.twist((2, 3, 4), (5, 6, 7))),
    (messages.TWIST, "angular.z", "rad/s", messages.twist((3, 3, 4), (5, 6, 2))),
    (
        messages.POSE_STAMPED,
        "pose.position.z",
        "m",
        messages.pose_stamped(0, (1, 3, 2), (4, 5, 6, 7)),
    ),
    (
        messages.POSE_STAMPED,
        "pose.orientation.z",
        "1",
        messages.pose_stamped(0, (1, 3, 3), (4, 5, 6, 2)),
    ),
]


@pytest.mark.parametrize(("kind", "select", "unit", "message"), FIXED)
def test_a_field_path_reads_its_own_number_after_a_trip_through_bytes(
    kind: str, select: str, unit: str, message: Any
) -> None:
    decoder = ChannelDecoder(channel(kind, {"select": select, "unit": unit}))
    received = messages.deserialize(messages.serialize(message), kind)

    assert decoder.decode(received).tolist() == [2.0]


@settings(deadline=None)
@given(value=numbers, scale=st.floats(-1e3, 1e3).filter(bool), low=st.floats(-10.0, 10.0))
def test_the_policy_sees_the_clipped_scaled_value_and_what_is_not_finite_passes(
    value: float, scale: float, low: float
) -> None:
    field = {"select": "linear.x", "unit": "m/s", "scale": scale, "clip": [low, low + 1.0]}
    decoder = ChannelDecoder(channel(messages.TWIST, field))

    with np.errstate(over="ignore"):
        (seen,) = decoder.decode(messages.twist((value, 0, 0), (0, 0, 0)))

    if not np.isfinite(value):
        np.testing.assert_array_equal(seen, value * scale)
    else:
        assert seen == min(max(value * scale, low), low + 1.0)
        assert low <= seen <= low + 1.0


@settings(deadline=None)
@given(value=numbers)
def test_nan_and_infinity_pass_through_an_unclipped_field(value: float) -> None:
    decoder = ChannelDecoder(channel(messages.TWIST, {"select": "linear.x", "unit": "m/s"}))

    np.testing.assert_array_equal(decoder.decode(messages.twist((value, 0, 0), (0, 0, 0))), [value])


def observation(frame: ObservationFrame) -> list[float]:
    values: NDArray[np.float64] = frame.take()
    return values.tolist()


def test_a_frame_keeps_the_order_of_the_embodiment_whatever_comes_first() -> None:
    frame = ObservationFrame(robot())

    frame.update("joint_states", joints(elbow=2.0), 0.0)
    frame.update("odom", odometry(1.0), 0.0)

    assert observation(frame) == [1.0, 2.0]


def test_a_frame_holds_nan_not_zero_for_a_channel_never_heard() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 0.0)

    np.testing.assert_array_equal(frame.take(), [1.0, np.nan])
    assert frame.missing() == ("joint_states",)
    assert frame.age(5.0) == float("inf")


def test_a_frame_is_fresh_once_every_channel_was_heard_since_the_last_take() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 0.0)
    assert not frame.fresh
    frame.update("joint_states", joints(elbow=2.0), 0.0)
    assert frame.fresh

    frame.take()

    assert not frame.fresh
    frame.update("odom", odometry(1.5), 0.0)
    frame.update("odom", odometry(1.7), 0.0)
    assert not frame.fresh


def test_a_frame_tells_which_channel_is_too_old() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 10.0)
    frame.update("joint_states", joints(elbow=2.0), 10.25)

    assert frame.stale(10.05) == ()
    assert frame.stale(10.3) == ("odom",)
    assert frame.stale(11.0) == ("odom", "joint_states")
    assert frame.age(10.5) == 0.5


def test_a_frame_keeps_its_older_value_and_age_when_a_message_cannot_be_decoded() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 0.0)
    frame.update("joint_states", joints(elbow=2.0), 0.0)

    with pytest.raises(DecodeError):
        frame.update("joint_states", joints(wrist=3.0), 1.0)

    assert observation(frame) == [1.0, 2.0]
    assert frame.stale(0.3) == ("odom",)


def test_a_cleared_frame_has_forgotten_the_last_episode() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 0.0)
    frame.update("joint_states", joints(elbow=2.0), 0.0)

    frame.clear()

    assert frame.missing() == ("odom", "joint_states")
    assert not frame.fresh
    assert np.isnan(frame.take()).all()


def test_an_observation_taken_earlier_does_not_change_with_the_frame() -> None:
    frame = ObservationFrame(robot())
    frame.update("odom", odometry(1.0), 0.0)
    first = frame.take()

    frame.update("odom", odometry(9.0), 0.0)

    assert first[0] == 1.0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.permutations(["elbow", "hand"]), numbers, st.integers(0, 2**60), st.booleans()
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_frame_takes_in_bytes_that_are_alike_as_it_does_the_message(
    sent: list[tuple[list[str], float, int, bool]],
) -> None:
    contract = robot().to_dict()
    contract["safety"] = {**contract.get("safety", {}), "max_stamp_age": {"joint_states": 1.0}}
    decoding = ObservationFrame(embodiment_from_dict(contract, origin="test"))
    reading = ObservationFrame(embodiment_from_dict(contract, origin="test"))
    for now, (names, value, stamp, learns) in enumerate(sent):
        message = messages.joint_state(stamp, names, position=[value, -value])
        data = messages.serialize(message)
        decoding.update("joint_states", message, now, ros_now=2**60)
        if not reading.update_alike("joint_states", data, now, ros_now=2**60):
            reading.update("joint_states", message, now, ros_now=2**60)
        if learns:
            reading.learn("joint_states", data)
            assert reading.update_alike("joint_states", data, now, ros_now=2**60)

        assert reading.take().tobytes() == decoding.take().tobytes()
        assert reading.misdated(now) == decoding.misdated(now)
        assert reading.stale(now) == decoding.stale(now)


def test_bytes_that_are_unlike_leave_a_frame_as_it_was() -> None:
    frame = ObservationFrame(robot())
    frame.learn("joint_states", messages.serialize(joints(elbow=1.0)))

    assert not frame.update_alike("joint_states", messages.serialize(joints(wrist=1.0)), 0.0)
    assert not frame.update_alike("odom", messages.serialize(odometry(1.0)), 0.0)

    assert frame.missing() == ("odom", "joint_states")
