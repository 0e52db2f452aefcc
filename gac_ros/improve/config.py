"""Settings of `gac improve`: those of online learning, and how candidates take over."""

from __future__ import annotations

from typing import Literal

from gac_ros.deployment.state import DeploymentConfig
from gac_ros.online.config import OnlineConfig


class ImproveConfig(OnlineConfig):
    """See `OnlineConfig`; what the gate refused does not act here, not even to collect.

    Attributes:
        deployment: how an accepted candidate takes over on the running robot.
    """

    collector: Literal["learner", "incumbent"] = "incumbent"
    deployment: DeploymentConfig = DeploymentConfig()
