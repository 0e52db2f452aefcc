"""The rclpy classes of message types."""

from __future__ import annotations

import pytest

from gac_ros.errors import ConfigurationError
from gac_ros.ros_types import ros_class


def test_a_type_is_found_by_its_name() -> None:
    assert ros_class("std_msgs/msg/Float64")(data=2.0).data == 2.0


def test_a_package_that_is_missing_is_named_with_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="ros-jazzy-no-such-msgs"):
        ros_class("no_such_msgs/msg/Thing")
