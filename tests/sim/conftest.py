"""Fixtures of the simulator's tests."""

from tests.ros_support import ros_domain, ros_peer

__all__ = ["ros_domain", "ros_peer"]
