"""The rclpy classes of message types, found when they are asked for."""

from __future__ import annotations

import importlib
from typing import Any

from gac_ros.errors import ConfigurationError


def ros_class(name: str) -> Any:
    """The rclpy class of a message type such as `sensor_msgs/msg/JointState`.

    Raises:
        ConfigurationError: its package is not installed.
    """
    package, _, message = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), message)
    except ImportError as error:
        raise ConfigurationError(
            f"the message package {package} cannot be imported ({error}); install it "
            f"(ros-jazzy-{package.replace('_', '-')})"
        ) from error
