"""ROS messages as plain Python objects and CDR bytes, without a ROS installation.

One codec serves the live robot, the bags and the simulator: `rosbags` generates the message
classes and their CDR serialisation from the Jazzy definitions. A live node exchanges the same
bytes with rclpy (raw subscriptions, `publish(bytes)`), so what is decoded is exactly what is
recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore
from rosbags.typesys.store import Typestore

from gac_ros.errors import DecodeError

JOINT_STATE = "sensor_msgs/msg/JointState"
ODOMETRY = "nav_msgs/msg/Odometry"
IMU = "sensor_msgs/msg/Imu"
FLOAT64_MULTI_ARRAY = "std_msgs/msg/Float64MultiArray"
TWIST = "geometry_msgs/msg/Twist"
POSE_STAMPED = "geometry_msgs/msg/PoseStamped"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
FLOAT64 = "std_msgs/msg/Float64"
STRING = "std_msgs/msg/String"
CLOCK = "rosgraph_msgs/msg/Clock"

NANOSECONDS = 1_000_000_000


@lru_cache(maxsize=1)
def typestore() -> Typestore:
    """The message definitions of ROS 2 Jazzy."""
    return get_typestore(Stores.ROS2_JAZZY)


def message_class(type_name: str) -> Any:
    """Message class of a type name such as `sensor_msgs/msg/JointState`."""
    return typestore().types[type_name]


def prepare(type_name: str) -> None:
    """Have the code that reads and writes a type generated now; it takes tens of milliseconds."""
    typestore().get_msgdef(type_name)


def serialize(message: Any) -> bytes:
    """CDR bytes of a message."""
    return bytes(typestore().serialize_cdr(message, message.__msgtype__))


def deserialize(data: bytes, type_name: str) -> Any:
    """Message object of CDR bytes.

    Raises:
        DecodeError: the bytes are not a message of that type.
    """
    try:
        return typestore().deserialize_cdr(data, type_name)
    except Exception as error:  # rosbags raises many kinds (struct, assertion, Unicode, index)
        raise DecodeError(
            f"{len(data)} bytes are not a valid {type_name} message ({error}); "
            "check that the publisher's message type matches the embodiment"
        ) from error


def _float_array(values: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.ascontiguousarray(values, dtype=np.float64)


def time_message(nanoseconds: int) -> Any:
    """`builtin_interfaces/Time` of nanoseconds."""
    seconds, rest = divmod(int(nanoseconds), NANOSECONDS)
    return message_class("builtin_interfaces/msg/Time")(sec=seconds, nanosec=rest)


def header(stamp: int, frame: str = "") -> Any:
    """`std_msgs/Header`; stamp in nanoseconds."""
    return message_class("std_msgs/msg/Header")(stamp=time_message(stamp), frame_id=frame)


def joint_state(
    stamp: int,
    names: Sequence[str],
    *,
    position: Sequence[float] | NDArray[np.float64] = (),
    velocity: Sequence[float] | NDArray[np.float64] = (),
    effort: Sequence[float] | NDArray[np.float64] = (),
) -> Any:
    """`sensor_msgs/JointState` (rad, m, rad/s, m/s, N m, N); stamp in nanoseconds."""
    return message_class(JOINT_STATE)(
        header=header(stamp),
        name=list(names),
        position=_float_array(position),
        velocity=_float_array(velocity),
        effort=_float_array(effort),
    )


def vector3(values: Sequence[float] | NDArray[np.float64]) -> Any:
    """`geometry_msgs/Vector3` of three floats."""
    x, y, z = (float(value) for value in values)
    return message_class("geometry_msgs/msg/Vector3")(x=x, y=y, z=z)


def twist(
    linear: Sequence[float] | NDArray[np.float64], angular: Sequence[float] | NDArray[np.float64]
) -> Any:
    """`geometry_msgs/Twist` (m/s, rad/s)."""
    return message_class(TWIST)(linear=vector3(linear), angular=vector3(angular))


def quaternion(wxyz: Sequence[float] | NDArray[np.float64]) -> Any:
    """`geometry_msgs/Quaternion` of (w, x, y, z)."""
    w, x, y, z = (float(value) for value in wxyz)
    return message_class("geometry_msgs/msg/Quaternion")(x=x, y=y, z=z, w=w)


def pose(
    position: Sequence[float] | NDArray[np.float64], wxyz: Sequence[float] | NDArray[np.float64]
) -> Any:
    """`geometry_msgs/Pose` (m; quaternion as w, x, y, z)."""
    x, y, z = (float(value) for value in position)
    point = message_class("geometry_msgs/msg/Point")(x=x, y=y, z=z)
    return message_class("geometry_msgs/msg/Pose")(position=point, orientation=quaternion(wxyz))


def pose_stamped(
    stamp: int,
    position: Sequence[float] | NDArray[np.float64],
    wxyz: Sequence[float] | NDArray[np.float64],
    *,
    frame: str = "world",
) -> Any:
    """`geometry_msgs/PoseStamped`; stamp in nanoseconds."""
    return message_class(POSE_STAMPED)(header=header(stamp, frame), pose=pose(position, wxyz))


def odometry(
    stamp: int,
    position: Sequence[float] | NDArray[np.float64],
    wxyz: Sequence[float] | NDArray[np.float64],
    linear: Sequence[float] | NDArray[np.float64],
    angular: Sequence[float] | NDArray[np.float64],
    *,
    frame: str = "odom",
    child_frame: str = "base_link",
) -> Any:
    """`nav_msgs/Odometry`: pose in `frame`, twist in `child_frame` (REP-105); no covariance."""
    no_covariance = np.zeros(36)
    return message_class(ODOMETRY)(
        header=header(stamp, frame),
        child_frame_id=child_frame,
        pose=message_class("geometry_msgs/msg/PoseWithCovariance")(
            pose=pose(position, wxyz), covariance=no_covariance
        ),
        twist=message_class("geometry_msgs/msg/TwistWithCovariance")(
            twist=twist(linear, angular), covariance=no_covariance
        ),
    )


def imu(
    stamp: int,
    wxyz: Sequence[float] | NDArray[np.float64],
    angular_velocity: Sequence[float] | NDArray[np.float64],
    linear_acceleration: Sequence[float] | NDArray[np.float64],
    *,
    frame: str = "base_link",
) -> Any:
    """`sensor_msgs/Imu` (rad/s, m/s^2) with unknown (zero) covariances."""
    no_covariance = np.zeros(9)
    return message_class(IMU)(
        header=header(stamp, frame),
        orientation=quaternion(wxyz),
        orientation_covariance=no_covariance,
        angular_velocity=vector3(angular_velocity),
        angular_velocity_covariance=no_covariance,
        linear_acceleration=vector3(linear_acceleration),
        linear_acceleration_covariance=no_covariance,
    )


def float64_multi_array(values: Sequence[float] | NDArray[np.float64]) -> Any:
    """`std_msgs/Float64MultiArray` with an empty layout, as ros2_control's commands have it."""
    layout = message_class("std_msgs/msg/MultiArrayLayout")(dim=[], data_offset=0)
    return message_class(FLOAT64_MULTI_ARRAY)(layout=layout, data=_float_array(values))


def joint_trajectory(
    stamp: int,
    names: Sequence[str],
    *,
    time_from_start: float,
    positions: Sequence[float] | NDArray[np.float64] = (),
    velocities: Sequence[float] | NDArray[np.float64] = (),
    effort: Sequence[float] | NDArray[np.float64] = (),
) -> Any:
    """`trajectory_msgs/JointTrajectory` of one point; `time_from_start` in seconds."""
    nanoseconds = round(time_from_start * NANOSECONDS)
    duration = message_class("builtin_interfaces/msg/Duration")(
        sec=nanoseconds // NANOSECONDS, nanosec=nanoseconds % NANOSECONDS
    )
    point = message_class("trajectory_msgs/msg/JointTrajectoryPoint")(
        positions=_float_array(positions),
        velocities=_float_array(velocities),
        accelerations=_float_array(()),
        effort=_float_array(effort),
        time_from_start=duration,
    )
    return message_class(JOINT_TRAJECTORY)(
        header=header(stamp), joint_names=list(names), points=[point]
    )


def float64(value: float) -> Any:
    """`std_msgs/Float64`."""
    return message_class(FLOAT64)(data=float(value))


def string(text: str) -> Any:
    """`std_msgs/String`."""
    return message_class(STRING)(data=text)


def clock(nanoseconds: int) -> Any:
    """`rosgraph_msgs/Clock`."""
    return message_class(CLOCK)(clock=time_message(nanoseconds))
