"""Fixtures of the controller's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.support import Arm, Client, write_checkpoint, write_contract
from tests.ros_support import RosPeer, own_domain, ros_domain, ros_peer

__all__ = ["ros_domain", "ros_peer"]


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The arm's embodiment file."""
    return write_contract(tmp_path_factory.mktemp("robots") / "arm.yaml")


@pytest.fixture(scope="session")
def checkpoint(contract: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of random weights that fits the arm."""
    return write_checkpoint(contract, tmp_path_factory.mktemp("checkpoints") / "arm")


@pytest.fixture(scope="module")
def shared_domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A ROS domain for all tests of a module, whose controllers are costly to start."""
    with own_domain(tmp_path_factory.mktemp("ros_log")) as domain:
        yield domain


@pytest.fixture(scope="module")
def peer(shared_domain: int) -> Iterator[RosPeer]:
    """The tests' own node."""
    peer = RosPeer(shared_domain)
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def arm(peer: RosPeer) -> Arm:
    """The robot."""
    return Arm(peer)


@pytest.fixture(scope="module")
def client(peer: RosPeer) -> Client:
    """The controller's client."""
    return Client(peer)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the module's controller records."""
    return tmp_path_factory.mktemp("episodes") / "buffer"
