"""Fixtures of the benchmark's tests over ROS."""

from tests.ros_support import ros_domain

__all__ = ["ros_domain"]
