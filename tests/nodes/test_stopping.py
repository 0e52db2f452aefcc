"""A robot is stopped at once, and stays stopped, whoever else is in the way."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rclpy.qos import qos_profile_sensor_data

from gac_ros import messages
from gac_ros.ros_types import ros_class
from tests.nodes.support import SAFE, Arm, Client, connected, write_checkpoint, write_contract
from tests.ros_support import RosPeer, RosProcess, node_command, node_environment

BUTTON = "std_msgs/msg/Bool"
FAULTS = "/gac_controller/fault"


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An arm whose emergency stop deactivates the node, and a checkpoint for it."""
    folder = tmp_path_factory.mktemp("robot")
    contract = write_contract(
        folder / "arm.yaml",
        episode_length=100_000,
        episode_end_topic=None,
        safety={"faults": {"emergency_stop": {"reaction": "deactivate", "latched": True}}},
        **{"return": {"source": "label"}},
    )
    return contract, write_checkpoint(contract, folder / "checkpoint")


@pytest.fixture(scope="module")
def running(
    episodes: Path, arm: Arm, client: Client, robot: tuple[Path, Path]
) -> Iterator[RosProcess]:
    with connected(arm, client, *robot, episodes) as process:
        yield process
        assert process.stop() == 0


def drive(peer: RosPeer, arm: Arm, client: Client) -> None:
    """Start an episode and see the policy act."""
    arm.forget()
    arm.stream(True)
    client.start()
    peer.spin_until(lambda: [source for _, source in arm.decisions[-3:]] == [0] * 3)


@pytest.mark.usefixtures("running")
def test_a_reset_lets_no_command_of_the_policy_through_beside_a_stranger(
    peer: RosPeer, arm: Arm, client: Client
) -> None:
    drive(peer, arm, client)
    kind = ros_class(messages.FLOAT64_MULTI_ARRAY)
    stranger = peer.node.create_publisher(kind, "arm/commands", 10)
    peer.spin_until(lambda: arm.decisions[-1][1] == 1)
    stopped = len(arm.decisions)
    assert "duplicate_publisher" in client.request("reset_faults").message
    count = len(arm.decisions)
    peer.spin_until(lambda: len(arm.decisions) >= count + 20)
    assert {source for _, source in arm.decisions[stopped:]} == {1}
    # Once it has gone, a reset is not even needed.
    peer.node.destroy_publisher(stranger)
    peer.spin_until(lambda: arm.decisions[-1][1] == 0)
    arm.stream(False)
    assert client.request("discard_episode").success


@pytest.mark.usefixtures("running")
def test_a_best_effort_button_is_heard_and_deactivates_a_node_that_only_waits(
    peer: RosPeer, client: Client
) -> None:
    button = peer.node.create_publisher(
        ros_class(BUTTON), "/gac_controller/emergency_stop", qos_profile_sensor_data
    )
    peer.spin_until(button.get_subscription_count)

    def pressed_down() -> bool:
        # As a button does that is held: the node may not know of this publisher when the publisher
        # knows of the node already, and nobody repeats a best-effort message for it.
        button.publish(ros_class(BUTTON)(data=True))
        return client.lifecycle() == "inactive"

    peer.spin_until(pressed_down)


@pytest.fixture
def full_pipe() -> Iterator[tuple[int, Any]]:
    """Both ends of a pipe that is to be filled: (for the node, to fill and empty it)."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)

    class Pipe:
        def fill(self) -> None:
            os.set_blocking(writing, False)
            try:
                while True:
                    os.write(writing, b"x")
            except BlockingIOError:
                os.set_blocking(writing, True)

        def empty(self) -> bytes:
            os.set_blocking(reading, False)
            found = b""
            try:
                while piece := os.read(reading, 4096):
                    found += piece
            except BlockingIOError:
                pass
            return found

    yield writing, Pipe()
    os.close(reading)
    os.close(writing)


def test_an_emergency_stop_does_not_wait_for_a_log_that_nobody_reads(
    ros_domain: int, full_pipe: tuple[int, Any], robot: tuple[Path, Path]
) -> None:
    writing, pipe = full_pipe
    peer = RosPeer(ros_domain)
    arm, client = Arm(peer), Client(peer)
    peer.subscribe(messages.STRING, FAULTS)
    contract, checkpoint = robot

    def raised() -> list[str]:
        told = [json.loads(message.data) for message in peer.of(FAULTS)]
        return [event["fault"] for event in told if event["event"] == "raised"]

    process = subprocess.Popen(
        node_command(
            "gac_ros.nodes.controller", robot=contract, checkpoint=checkpoint, autostart=True
        ),
        env=node_environment(),
        stdout=subprocess.DEVNULL,
        stderr=writing,
    )
    try:
        client.until("idle")
        arm.connect()
        drive(peer, arm, client)
        pipe.fill()
        button = peer.node.create_publisher(ros_class(BUTTON), "/gac_controller/emergency_stop", 10)
        peer.spin_until(lambda: button.get_subscription_count() == 2)
        button.publish(ros_class(BUTTON)(data=True))
        # Told at once: had it been logged first, the guardian would have had to stop the robot.
        peer.spin_until(raised)
        assert raised()[0] == "emergency_stop"
        peer.spin_until(lambda: arm.commands[-1] == SAFE)
    finally:
        pipe.empty()
        process.send_signal(signal.SIGINT)
        while process.poll() is None:
            pipe.empty()
        peer.close()
