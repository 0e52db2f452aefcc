"""What the tests of online learning share."""

from tests.evaluation.conftest import ros_domain

__all__ = ["ros_domain"]
