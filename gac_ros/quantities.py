"""The numbers that ROS messages hold: what each measures, and in which units."""

from __future__ import annotations

# Which units a quantity may have (REP-103: SI). `scale` converts to what the policy should see.
UNITS_OF_QUANTITY: dict[str, tuple[str, ...]] = {
    "position": ("rad", "m"),
    "velocity": ("rad/s", "m/s"),
    "effort": ("N*m", "N", "ratio"),
    "length": ("m",),
    "linear velocity": ("m/s",),
    "angular velocity": ("rad/s",),
    "linear acceleration": ("m/s^2",),
    "orientation": ("1",),
}
_AXES = ("x", "y", "z")

# Every field path of the message kinds with fixed fields, with the quantity it measures.
_FIXED_FIELDS: dict[str, dict[str, str]] = {
    "nav_msgs/msg/Odometry": {
        **{f"pose.pose.position.{axis}": "length" for axis in _AXES},
        **{f"pose.pose.orientation.{axis}": "orientation" for axis in (*_AXES, "w")},
        **{f"twist.twist.linear.{axis}": "linear velocity" for axis in _AXES},
        **{f"twist.twist.angular.{axis}": "angular velocity" for axis in _AXES},
    },
    "sensor_msgs/msg/Imu": {
        **{f"orientation.{axis}": "orientation" for axis in (*_AXES, "w")},
        **{f"angular_velocity.{axis}": "angular velocity" for axis in _AXES},
        **{f"linear_acceleration.{axis}": "linear acceleration" for axis in _AXES},
    },
    "geometry_msgs/msg/Twist": {
        **{f"linear.{axis}": "linear velocity" for axis in _AXES},
        **{f"angular.{axis}": "angular velocity" for axis in _AXES},
    },
    "geometry_msgs/msg/PoseStamped": {
        **{f"pose.position.{axis}": "length" for axis in _AXES},
        **{f"pose.orientation.{axis}": "orientation" for axis in (*_AXES, "w")},
    },
}
_JOINT_STATE = "sensor_msgs/msg/JointState"
_FLOAT64_MULTI_ARRAY = "std_msgs/msg/Float64MultiArray"
STAMPED = (
    _JOINT_STATE,
    "nav_msgs/msg/Odometry",
    "sensor_msgs/msg/Imu",
    "geometry_msgs/msg/PoseStamped",
)
_JOINT_QUANTITIES = ("position", "velocity", "effort")


def units_of(message_type: str, select: str) -> tuple[str, ...]:
    """Units allowed for a field of a message; empty when any unit is allowed.

    Args:
        message_type: such as `sensor_msgs/msg/JointState`.
        select: `position.JOINT`, `velocity.JOINT` or `effort.JOINT` in a JointState, `data.INDEX`
            in a Float64MultiArray, and the field's path in every other message.

    Raises:
        ValueError: no such field.
    """
    if message_type == _JOINT_STATE:
        quantity, _, joint = select.partition(".")
        if quantity not in _JOINT_QUANTITIES or not joint:
            raise ValueError(f"'{select}' must read position.JOINT, velocity.JOINT or effort.JOINT")
        return UNITS_OF_QUANTITY[quantity]
    if message_type == _FLOAT64_MULTI_ARRAY:
        prefix, _, index = select.partition(".")
        if prefix != "data" or not index.isdecimal():
            raise ValueError(f"'{select}' must read data.INDEX, for example data.0")
        return ()
    fields = _FIXED_FIELDS[message_type]
    if select not in fields:
        raise ValueError(
            f"{message_type} has no number '{select}'; it has {', '.join(sorted(fields))}"
        )
    return UNITS_OF_QUANTITY[fields[select]]
