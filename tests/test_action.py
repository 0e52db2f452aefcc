"""Actions stay within their limits and survive every kind of command message."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import decode_action, encode_action, limit_action
from gac_ros.embodiment import CommandKind, Embodiment, embodiment_from_dict
from gac_ros.errors import DecodeError

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


not_nan = st.floats(allow_nan=False)
bounds = st.tuples(
    st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.none() | st.floats(1e-6, 1e6)
).map(lambda bound: (bound[0], bound[0] + bound[1], bound[2]))


@settings(deadline=None)
@given(
    limits=st.tuples(bounds, bounds, bounds).filter(
        lambda limits: all(low < high for low, high, _ in limits)
    ),
    action=arrays(np.float64, 3, elements=not_nan),
    previous=arrays(np.float64, 3, elements=not_nan),
)
def test_a_limited_action_never_leaves_its_limits(
    limits: tuple[tuple[float, float, float | None], ...],
    action: NDArray[np.float64],
    previous: NDArray[np.float64],
) -> None:
    low, high, rates = zip(*limits, strict=True)
    leg = robot(CommandKind.ARRAY, low=low, high=high, rates=rates)

    with np.errstate(all="ignore"):  # an infinite `previous` has no neighbourhood
        limited = limit_action(leg, action, previous)

    known = np.isfinite(previous)
    assert (limited[known] >= leg.action_low[known]).all()
    assert (limited[known] <= leg.action_high[known]).all()


@settings(deadline=None)
@given(action=arrays(np.float64, 3, elements=not_nan), start=st.floats(-1.0, 1.0))
def test_an_action_moves_from_the_previous_one_at_most_by_its_rate(
    action: NDArray[np.float64], start: float
) -> None:
    leg = robot(CommandKind.ARRAY, rates=(2.0, 5.0, None))  # at 10 Hz: 0.2, 0.5, any
    previous = np.full(3, start)

    limited = limit_action(leg, action, previous)

    assert abs(limited[0] - start) <= 0.2 + 1e-12
    assert abs(limited[1] - start) <= 0.5 + 1e-12
    assert limited[2] == np.clip(action[2], -1.0, 1.0)


@settings(deadline=None)
@given(action=arrays(np.float64, 3, elements=st.floats(-1.0, 1.0)))
def test_an_action_within_limits_is_left_alone(action: NDArray[np.float64]) -> None:
    leg = robot(CommandKind.ARRAY)

    np.testing.assert_array_equal(limit_action(leg, action, np.zeros(3)), action)


def test_what_to_do_about_nan_is_left_to_the_controller() -> None:
    leg = robot(CommandKind.ARRAY)

    limited = limit_action(leg, np.array([np.nan, 5.0, -5.0]), np.zeros(3))

    np.testing.assert_array_equal(limited, [np.nan, 1.0, -1.0])
