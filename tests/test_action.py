"""Actions survive every kind of command message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message

from gac_ros import messages
from gac_ros.action import ActionEncoder, decode_action, encode_action
from gac_ros.embodiment import CommandKind, Embodiment, embodiment_from_dict
from gac_ros.errors import DecodeError
from gac_ros.ros_types import ros_class
from tests.test_messages import content

JOINTS = ("hip", "knee", "ankle")
UNITS = {"position": "rad", "velocity": "rad/s", "effort": "N*m"}
numbers = st.floats(width=64)
actions = arrays(np.float64, 3, elements=numbers)


def robot(kind: CommandKind, interface: str = "effort", **limits: Any) -> Embodiment:
    names = ("linear.x", "angular.z", "linear.y") if kind is CommandKind.TWIST else JOINTS
    units = ("m/s", "rad/s", "m/s") if kind is CommandKind.TWIST else (UNITS[interface],) * 3
    low, high = limits.get("low", (-1.0,) * 3), limits.get("high", (1.0,) * 3)
    rates = limits.get("rates", (None,) * 3)
    return embodiment_from_dict(
        {
            "name": "leg",
            "control_rate": 10.0,
            "episode_length": 5,
            "observation": [
                {
                    "topic": "odom",
                    "type": messages.ODOMETRY,
                    "max_age": 0.1,
                    "fields": [{"select": "pose.pose.position.x", "unit": "m"}],
                }
            ],
            "action": {
                "topic": "commands",
                "type": kind.value,
                "interface": interface,
                "fields": [
                    {
                        "joint": name,
                        "unit": unit,
                        "limits": [bottom, top],
                        "rate_limit": rate,
                        "safe": bottom,
                    }
                    for name, unit, bottom, top, rate in zip(
                        names, units, low, high, rates, strict=True
                    )
                ],
            },
            "return": {"source": "label"},
        },
        origin="test",
    )


KINDS = [
    (CommandKind.ARRAY, "effort"),
    (CommandKind.TWIST, "effort"),
    *[
        (kind, interface)
        for kind in (CommandKind.JOINT_STATE, CommandKind.JOINT_TRAJECTORY)
        for interface in UNITS
    ],
]


@pytest.mark.parametrize(("kind", "interface"), KINDS)
@settings(deadline=None)
@given(action=actions)
def test_every_command_kind_survives_its_bytes(
    kind: CommandKind, interface: str, action: NDArray[np.float64]
) -> None:
    leg = robot(kind, interface)
    sent = messages.serialize(encode_action(leg, action, stamp=5))

    received = decode_action(leg, messages.deserialize(sent, kind.value))

    np.testing.assert_array_equal(received, action)


@pytest.mark.parametrize(("kind", "interface"), KINDS)
@settings(deadline=None)
@given(action=actions, stamp=st.integers(0, (2**31 - 1) * messages.NANOSECONDS))
def test_commands_written_by_their_layout_have_the_same_bytes_and_rclpy_reads_them(
    kind: CommandKind, interface: str, action: NDArray[np.float64], stamp: int
) -> None:
    leg = robot(kind, interface)
    encoder = ActionEncoder(leg)

    data = encoder.encode(action, stamp)

    assert data == messages.serialize(encode_action(leg, action, stamp))
    theirs = deserialize_message(data, ros_class(kind.value))
    assert content(theirs) == content(encode_action(leg, action, stamp))


def test_a_trajectory_commands_its_interface_for_one_control_period() -> None:
    message = encode_action(
        robot(CommandKind.JOINT_TRAJECTORY, "velocity"), np.array([1.0, 2.0, 3.0]), stamp=5
    )

    (point,) = message.points
    assert message.joint_names == list(JOINTS)
    assert point.velocities.tolist() == [1.0, 2.0, 3.0]
    assert len(point.positions) == len(point.effort) == 0
    assert (point.time_from_start.sec, point.time_from_start.nanosec) == (0, 100_000_000)


def test_a_twist_leaves_what_is_not_commanded_at_zero() -> None:
    message = encode_action(robot(CommandKind.TWIST), np.array([1.0, 2.0, 3.0]), stamp=5)

    assert (message.linear.x, message.linear.y, message.linear.z) == (1.0, 3.0, 0.0)
    assert (message.angular.x, message.angular.y, message.angular.z) == (0.0, 0.0, 2.0)


@pytest.mark.parametrize("kind", [CommandKind.JOINT_STATE, CommandKind.JOINT_TRAJECTORY])
def test_commanded_joints_are_matched_by_name(kind: CommandKind) -> None:
    leg = robot(kind)
    names, values = ["ankle", "toe", "hip", "knee"], [3.0, 9.0, 1.0, 2.0]
    message = (
        messages.joint_state(0, names, effort=values)
        if kind is CommandKind.JOINT_STATE
        else messages.joint_trajectory(0, names, time_from_start=0.1, effort=values)
    )

    assert decode_action(leg, message).tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("kind", "message", "problem"),
    [
        (CommandKind.ARRAY, messages.float64_multi_array([1.0]), r"has 1 numbers.*has 3"),
        (
            CommandKind.JOINT_STATE,
            messages.joint_state(0, ["hip", "ankle"], effort=[1.0, 2.0]),
            "knee is missing",
        ),
        (
            CommandKind.JOINT_STATE,
            messages.joint_state(0, list(JOINTS), position=[1.0, 2.0, 3.0]),
            "missing",
        ),
        (
            CommandKind.JOINT_TRAJECTORY,
            messages.message_class(messages.JOINT_TRAJECTORY)(
                header=messages.header(0), joint_names=list(JOINTS), points=[]
            ),
            "no point",
        ),
    ],
)
def test_a_command_that_lacks_something_is_an_error(
    kind: CommandKind, message: Any, problem: str
) -> None:
    with pytest.raises(DecodeError, match=f"commands: .*{problem}"):
        decode_action(robot(kind), message)
