"""Messages built from observations decode to the same observations."""

from __future__ import annotations

from typing import Any

import episode_bags
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gac_ros.buffer.importing.encode import ObservationEncoder
from gac_ros.embodiment import Embodiment, embodiment_from_dict, find_embodiment, known_robots
from gac_ros.messages import deserialize, message_class, serialize
from gac_ros.observation import ObservationFrame

AXES = ("x", "y", "z")
# Every message kind that an embodiment may read, partly and scaled.
CHANNELS: dict[str, list[dict[str, Any]]] = {
    "sensor_msgs/msg/JointState": [
        {"select": "effort.elbow", "unit": "N*m", "scale": -3.0},
        {"select": "velocity.wrist", "unit": "rad/s"},
        {"select": "velocity.elbow", "unit": "rad/s", "scale": 0.7},
    ],
    "nav_msgs/msg/Odometry": [
        {"select": "pose.pose.orientation.w", "unit": "1"},
        {"select": "twist.twist.angular.z", "unit": "rad/s", "scale": 57.3},
    ],
    "sensor_msgs/msg/Imu": [{"select": "linear_acceleration.y", "unit": "m/s^2"}],
    "std_msgs/msg/Float64MultiArray": [
        {"select": "data.5", "unit": "lux"},
        {"select": "data.2", "unit": "bar", "scale": 1e-5},
    ],
    "geometry_msgs/msg/Twist": [{"select": "linear.x", "unit": "m/s"}],
    "geometry_msgs/msg/PoseStamped": [{"select": "pose.position.z", "unit": "m", "scale": 100.0}],
}


def everything() -> Embodiment:
    channels = [
        {"topic": f"topic{number}", "type": kind, "max_age": 1.0, "fields": fields}
        for number, (kind, fields) in enumerate(CHANNELS.items())
    ]
    content = {**episode_bags.contract(), "observation": channels}
    return embodiment_from_dict(content, origin="test")


ROBOTS = [*map(find_embodiment, known_robots()), everything()]


def decoded(robot: Embodiment, observation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Through the very bytes that a bag would hold."""
    frame = ObservationFrame(robot)
    kinds = {channel.topic: channel.type for channel in robot.observation}
    for topic, message in ObservationEncoder(robot).messages(observation, 123).items():
        assert isinstance(message, message_class(kinds[topic]))
        frame.update(topic, deserialize(serialize(message), kinds[topic]), 0.0)
    return frame.take()


@pytest.mark.parametrize("robot", ROBOTS, ids=lambda robot: robot.name)
@given(data=st.data())
@settings(max_examples=50, deadline=None)
def test_an_observation_comes_back_from_its_messages(
    robot: Embodiment, data: st.DataObject
) -> None:
    fields = [field for channel in robot.observation for field in channel.fields]
    numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
    observation = data.draw(arrays(np.float64, len(fields), elements=numbers))
    clips = np.array([field.clip or (-np.inf, np.inf) for field in fields])
    observation = np.clip(observation, *clips.T)
    scaled = np.array([field.scale != 1.0 for field in fields])

    found = decoded(robot, observation)

    np.testing.assert_array_equal(found[~scaled], observation[~scaled])
    np.testing.assert_allclose(found[scaled], observation[scaled], rtol=4e-16, atol=1e-300)


def test_what_the_observation_does_not_tell_is_nan_and_no_zero() -> None:
    robot = find_embodiment("hopper")
    observation = np.arange(1.0, robot.observation_size + 1)

    message = ObservationEncoder(robot).messages(observation, 0)["joint_states"]

    unknown = message.name.index("rootx")  # its velocity is observed, its position is not
    assert np.isnan(message.position[unknown])
    assert np.isfinite(message.velocity).all()
    assert len(message.effort) == 0


@given(
    value=st.floats(-1e6, 1e6, allow_subnormal=False),
    scale=st.floats(1e-3, 1e3) | st.floats(-1e3, -1e-3),
)
@settings(max_examples=300)
def test_what_was_decoded_once_comes_back_to_the_last_bit(value: float, scale: float) -> None:
    field = {"select": "data.0", "unit": "any", "scale": scale}
    channel = {"topic": "t", "type": "std_msgs/msg/Float64MultiArray", "max_age": 1.0}
    robot = episode_bags.embodiment(observation=[{**channel, "fields": [field]}])
    observation = np.array([value]) * scale

    np.testing.assert_array_equal(decoded(robot, observation), observation)
