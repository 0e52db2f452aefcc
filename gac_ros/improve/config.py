"""Settings of `gac improve`: those of online learning, and how candidates take over."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from gac_ros.deployment.state import DeploymentConfig
from gac_ros.online.config import OnlineConfig, read_config


class ImproveConfig(OnlineConfig):
    """See `OnlineConfig`; what the gate refused does not act here, not even to collect.

    Attributes:
        deployment: how an accepted candidate takes over on the running robot.
    """

    collector: Literal["learner", "incumbent"] = "incumbent"
    deployment: DeploymentConfig = DeploymentConfig()


def load_improve_config(path: Path, changes: dict[str, Any]) -> ImproveConfig:
    """Read and validate a YAML file; see `gac_ros.online.config.load_online_config`."""
    return read_config(ImproveConfig, path, changes)
