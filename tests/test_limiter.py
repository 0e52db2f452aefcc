"""Commands keep their limits on value, rate and acceleration, whatever a policy asks for."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.faults import Fault
from gac_ros.limiter import Limiter

Limits = tuple[float, float, "float | None", "float | None"]
finite = st.floats(allow_nan=False, allow_infinity=False)
RATE = 10.0  # Hz


def robot(*limits: Limits, safe: float | None = None, ramp_time: float = 1.0) -> Embodiment:
    """Joints with (low, high, rate limit, acceleration limit); safe at the low end."""
    fields: list[dict[str, Any]] = [
        {
            "joint": f"joint{number}",
            "unit": "rad",
            "limits": [low, high],
            "rate_limit": rate,
            "acceleration_limit": acceleration,
            "safe": low if safe is None else safe,
        }
        for number, (low, high, rate, acceleration) in enumerate(limits)
    ]
    return embodiment_from_dict(
        {
            "name": "leg",
            "control_rate": RATE,
            "episode_length": 5,
            "observation": [
                {
                    "topic": "state",
                    "type": "std_msgs/msg/Float64MultiArray",
                    "max_age": 0.1,
                    "fields": [{"select": "data.0", "unit": "m"}],
                }
            ],
            "action": {
                "topic": "commands",
                "type": "std_msgs/msg/Float64MultiArray",
                "interface": "position",
                "fields": fields,
            },
            "return": {"source": "label"},
            "safety": {"ramp_time": ramp_time},
        },
        origin="test",
    )


def bounded(rate: bool, acceleration: bool) -> st.SearchStrategy[Limits]:
    positive = st.floats(1e-3, 1e3)
    return st.tuples(
        st.floats(-1e3, 1e3),
        st.floats(1e-3, 1e3),
        positive if rate else st.none() | positive,
        positive if acceleration else st.none(),
    ).map(lambda drawn: (drawn[0], drawn[0] + drawn[1], drawn[2], drawn[3]))


@settings(deadline=None)
@given(
    limits=st.tuples(*[bounded(rate=False, acceleration=False)] * 3),
    wanted=st.lists(arrays(np.float64, 3, elements=finite), max_size=20),
)
def test_a_limited_command_is_the_nearest_within_rate_and_value(
    limits: tuple[Limits, ...], wanted: list[NDArray[np.float64]]
) -> None:
    leg = robot(*limits)
    limiter = Limiter(leg)
    for action in wanted:
        previous = limiter.previous
        command = limiter.limit(action)
        near = np.clip(action, previous - leg.action_max_step, previous + leg.action_max_step)
        # To the last bit: recorded and recomputed actions are compared so.
        np.testing.assert_array_equal(command, np.clip(near, leg.action_low, leg.action_high))
        limiter.move(command)


@settings(deadline=None)
@given(
    limits=bounded(rate=True, acceleration=True),
    course=st.lists(st.none() | st.floats(-2e3, 2e3), max_size=60),
)
def test_accelerations_are_limited_too_even_where_a_limit_of_value_comes_near(
    limits: Limits, course: list[float | None]
) -> None:
    leg = robot(limits)
    limiter = Limiter(leg)
    slack = 1e-7 * (1.0 + np.abs(leg.action_low) + leg.action_high - leg.action_low)
    before = np.zeros(1)
    for wanted in course:
        previous = limiter.previous
        ramp = wanted is None
        command = (
            limiter.towards(leg.safe_action) if ramp else limiter.limit(np.array([wanted], float))
        )
        limiter.move(command)
        step = command - previous
        assert (leg.action_low <= command).all()
        assert (command <= leg.action_high).all()
        assert (np.abs(step) <= leg.action_max_step + slack).all()
        assert (np.abs(step - before) <= leg.action_max_change + slack).all()
        before = step


def test_an_action_within_the_limits_is_left_alone() -> None:
    limiter = Limiter(robot((-1.0, 1.0, None, None), (-1.0, 1.0, 50.0, 1e4)))
    for action in (np.array([0.3, -0.2]), np.array([-1.0, 1.0])):
        command = limiter.limit(action)
        np.testing.assert_array_equal(command, action)
        limiter.move(command)


def test_a_ramp_takes_its_time_and_arrives_exactly() -> None:
    leg = robot((-1.0, 1.0, None, None), safe=0.25, ramp_time=2.0)  # 0.1 a period at 10 Hz
    limiter = Limiter(leg)
    limiter.move(np.array([1.0]))
    course = []
    while limiter.previous[0] != 0.25:
        command = limiter.towards(leg.safe_action)
        course.append(command[0])
        limiter.move(command)
    np.testing.assert_allclose(course, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25])


def test_a_ramp_after_a_fast_motion_slows_down_first_and_arrives_exactly() -> None:
    leg = robot((-1.0, 1.0, 5.0, 10.0), safe=-0.5)  # 0.5 a period, changing by 0.1
    limiter = Limiter(leg)
    for action in (-1.0, -0.9, -0.7, -0.4):
        limiter.move(np.array([action]))
    course = [limiter.previous[0]]
    for _ in range(40):
        limiter.move(limiter.towards(leg.safe_action))
        course.append(limiter.previous[0])
    steps = np.diff([-0.7, *course])
    assert course[1] > course[0]  # it cannot turn at once
    assert np.abs(np.diff(steps)).max() <= 0.1 + 1e-12
    assert course[-1] == -0.5


def test_what_exceeds_its_limits_is_named() -> None:
    limiter = Limiter(robot((-1.0, 1.0, 5.0, 20.0), safe=0.0))  # 0.5 a period, changing by 0.2
    assert limiter.exceeded(np.array([0.15])) == {}
    assert list(limiter.exceeded(np.array([0.3]))) == [Fault.ACCELERATION_LIMIT]
    assert list(limiter.exceeded(np.array([0.6]))) == [Fault.RATE_LIMIT, Fault.ACCELERATION_LIMIT]
    assert list(limiter.exceeded(np.array([1.5]))) == [
        Fault.VALUE_LIMIT,
        Fault.RATE_LIMIT,
        Fault.ACCELERATION_LIMIT,
    ]
    assert "number 0 of the action is 1.5" in limiter.exceeded(np.array([1.5]))[Fault.VALUE_LIMIT]
