"""The controller watches over a robot that does not wait: missing, late and returning input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lifecycle_msgs.msg import Transition
from rclpy.qos import DurabilityPolicy, QoSProfile

from gac_ros import messages
from gac_ros.buffer.reader import read_episode
from gac_ros.ros_types import ros_class
from tests.nodes.support import (
    SAFE,
    Arm,
    Client,
    connected,
    is_policy,
    write_checkpoint,
    write_contract,
)
from tests.ros_support import RosPeer, RosProcess

LENGTH = 150  # steps, 3 seconds


@pytest.fixture(scope="module", autouse=True)
def running(
    tmp_path_factory: pytest.TempPathFactory, episodes: Path, arm: Arm, client: Client
) -> Iterator[RosProcess]:
    """A robot with an operator's label as return, and nobody who announces an end."""
    folder = tmp_path_factory.mktemp("robot")
    contract = write_contract(
        folder / "labelled.yaml",
        episode_length=LENGTH,
        episode_end_topic=None,
        **{"return": {"source": "label"}},
    )
    model = write_checkpoint(contract, folder / "checkpoint")
    with connected(arm, client, contract, model, episodes) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture(autouse=True)
def fresh(arm: Arm) -> Iterator[None]:
    arm.forget()
    yield
    arm.stream(False)


def wait_for_decision(peer: RosPeer, arm: Arm, source: int) -> None:
    """Wait for a decision of this source that is not there yet."""
    seen = len(arm.decisions)
    peer.spin_until(lambda: any(kind == source for _, kind in arm.decisions[seen:]))


def read(summary: dict[str, Any]) -> Any:
    assert summary["error"] is None
    return read_episode(Path(summary["bag"]))


def test_input_that_is_missing_stops_and_returns(
    peer: RosPeer, arm: Arm, client: Client, running: RosProcess
) -> None:
    # Nothing heard: the safe action, again and again, and no step.
    client.start()
    assert [arm.next_command() for _ in range(3)] == [SAFE] * 3
    client.diagnosis("last safe reason", "no message yet on joint_states")
    assert client.states[-1]["state"] == "ready"
    assert arm.decisions == []
    peer.spin_until(lambda: "safe action: no message yet on joint_states" in running.output)

    # Heard: the policy acts.
    arm.stream(True)
    wait_for_decision(peer, arm, source=0)
    assert client.until("running")

    # Heard no more: the safe action again, now as steps.
    arm.stream(False)
    wait_for_decision(peer, arm, source=1)
    client.diagnosis("last safe reason", "no recent message on joint_states")
    assert arm.commands[-1] == SAFE
    # Another reason is told at once, although the first was told less than a second ago.
    assert "safe action: no recent message on joint_states" in running.output

    # Heard again: the policy again.
    arm.stream(True)
    wait_for_decision(peer, arm, source=0)

    assert client.set("episode_return", 12.5).successful
    assert client.end(success=True).success
    summary = client.summary()
    assert summary["outcome"] == "success"
    assert summary["episode_return"] == 12.5
    assert summary["safe_actions"] > 0
    episode = read(summary)
    assert len(episode) == summary["steps"]
    assert episode.episode_return == 12.5
    assert 0 < episode.valid.sum() < len(episode)
    assert arm.commands[-1] == SAFE


def test_simulated_time_switched_on_and_off_is_a_jump_of_the_clock(
    peer: RosPeer, client: Client
) -> None:
    told: list[dict[str, Any]] = []
    peer.node.create_subscription(
        ros_class(messages.STRING),
        "/gac_controller/fault",
        lambda message: told.append(json.loads(message.data)),
        QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )

    def seen(*wanted: str) -> bool:
        return [it["event"] for it in told if it.get("fault") == "clock_jumped"] == [*wanted]

    assert client.set("use_sim_time", True).successful
    peer.spin_until(lambda: seen("raised", "cleared"))
    assert client.set("use_sim_time", False).successful
    peer.spin_until(lambda: seen("raised", "cleared", "raised", "cleared"))


def test_an_episode_without_a_label_has_no_return_and_ends_at_its_length(
    peer: RosPeer, arm: Arm, client: Client
) -> None:
    client.start()
    arm.stream(True)
    summary = client.summary()
    assert summary["steps"] == LENGTH
    assert summary["episode_return"] is None  # not the label of the episode before
    assert (summary["terminated"], summary["truncated"]) == (False, True)
    assert summary["outcome"] == "unknown"
    episode = read(summary)
    assert len(episode) == LENGTH
    assert [step for step, _ in arm.decisions] == list(range(LENGTH))
    peer.spin_until(lambda: arm.commands[-1] == SAFE)


def test_an_episode_interrupted_before_its_first_step_is_discarded(
    arm: Arm, client: Client, episodes: Path
) -> None:
    name = client.start()["episode_id"]
    assert client.change(Transition.TRANSITION_DEACTIVATE)
    state = client.until("idle")
    assert state["summary"] is None
    assert "interrupted" in state["error"]
    assert not (episodes / name).exists()
    assert client.change(Transition.TRANSITION_ACTIVATE)


def act_by_the_timer(arm: Arm, client: Client) -> None:
    """Configure the controller anew."""
    assert client.change(Transition.TRANSITION_DEACTIVATE)
    assert client.change(Transition.TRANSITION_CLEANUP)
    assert client.set("tick", "timer").successful
    assert client.change(Transition.TRANSITION_CONFIGURE)
    assert client.change(Transition.TRANSITION_ACTIVATE)
    arm.connect()


def test_by_the_timer_the_controller_acts_on_the_newest_message(
    peer: RosPeer, arm: Arm, client: Client
) -> None:
    act_by_the_timer(arm, client)
    client.start()
    assert arm.next_command() == SAFE
    arm.observe(position=0.4)
    # One message, several decisions.
    peer.spin_until(lambda: len(arm.decisions) >= 3)
    assert arm.decisions[:3] == [(0, 0), (1, 0), (2, 0)]
    wait_for_decision(peer, arm, source=1)
    arm.stream(True)
    wait_for_decision(peer, arm, source=0)
    assert client.end(success=False).success
    summary = client.summary()
    assert summary["outcome"] == "failure"
    assert len(read(summary)) == summary["steps"]
    assert is_policy(float(read(summary).actions[0, 0]))


def test_by_the_timer_a_clock_that_stands_still_stops_the_robot(
    peer: RosPeer, arm: Arm, client: Client
) -> None:
    times = iter(range(1000, 1_000_000))
    tell = peer.publisher(messages.CLOCK, "/clock")

    def go_on() -> Any:
        period = 20_000_000  # ns
        return peer.node.create_timer(0.02, lambda: tell(messages.clock(next(times) * period)))

    assert client.set("use_sim_time", True).successful
    clock = go_on()
    act_by_the_timer(arm, client)
    client.start()
    arm.stream(True)
    wait_for_decision(peer, arm, source=0)
    peer.node.destroy_timer(clock)
    wait_for_decision(peer, arm, source=1)
    assert arm.commands[-1] == SAFE
    client.diagnosis("last safe reason", "the node's clock stands still")
    clock = go_on()
    wait_for_decision(peer, arm, source=0)
    assert client.request("discard_episode").success
    client.until("idle")
    peer.node.destroy_timer(clock)
    assert client.set("use_sim_time", False).successful
