"""Untrained checkpoints on the disk, and robots that end soon."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.checkpoint import save_checkpoint
from tests.ros_support import ros_domain, ros_peer
from tests.toy import untrained_checkpoint

__all__ = ["ros_domain", "ros_peer"]


@pytest.fixture(scope="session")
def umaze_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    return save_checkpoint(untrained_checkpoint("pointmaze_umaze"), folder / "umaze")


@pytest.fixture(scope="session")
def hopper_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    return save_checkpoint(untrained_checkpoint("hopper"), folder / "hopper")
