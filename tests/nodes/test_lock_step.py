"""The controller answers each observation of a robot that waits for it, over real DDS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from lifecycle_msgs.msg import Transition
from rosbags.rosbag2 import Reader

from gac_ros.buffer.reader import read_episode, read_metadata, read_plan
from gac_ros.checkpoint import load_checkpoint
from gac_ros.nodes.parameters import PARAMETERS, Effect
from gac_ros.planning import Plan
from tests.nodes.support import SAFE, STEPS, Arm, Client, connected, is_policy
from tests.ros_support import RosProcess


@pytest.fixture(scope="module", autouse=True)
def running(
    contract: Path, checkpoint: Path, episodes: Path, arm: Arm, client: Client
) -> Iterator[RosProcess]:
    with connected(arm, client, contract, checkpoint, episodes, lock_step=True) as process:
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.output


@pytest.fixture(autouse=True)
def fresh(arm: Arm) -> None:
    arm.forget()


def bags(episodes: Path) -> list[str]:
    return sorted(path.name for path in episodes.iterdir() if not path.name.startswith("."))


def raw_messages(bag: Path) -> list[tuple[str, bytes]]:
    with Reader(bag) as reader:
        return [(connection.topic, bytes(data)) for connection, _, data in reader.messages()]


def test_an_episode_ends_up_in_its_bag_byte_by_byte(arm: Arm, client: Client) -> None:
    ready = client.start(seed=7)
    commands = [arm.step(number) for number in range(STEPS)]
    arm.finish(STEPS, "terminated")
    summary = client.summary()

    bag = Path(summary["bag"])
    recorded = raw_messages(bag)
    for topic in ("joint_states", "reward", "arm/commands", "gac_controller/decision"):
        assert [data for where, data in recorded if where == f"/{topic}"] == arm.bytes_of(topic)
    for topic in ("episode_end", "gac_controller/plan"):
        # DDS fills a message up to a multiple of four bytes.
        ((_, data),) = [message for message in recorded if message[0] == f"/{topic}"]
        assert [data.rstrip(b"\0")] == [sent.rstrip(b"\0") for sent in arm.bytes_of(topic)]
    assert len(recorded) == len(arm.messages)

    episode = read_episode(bag)
    assert episode.actions[:, 0].tolist() == commands
    assert episode.observations[:, 0] == pytest.approx(0.1 * np.arange(STEPS + 1))
    assert episode.observations[:, 1] == pytest.approx(-0.05 * np.arange(STEPS + 1))
    assert episode.rewards.tolist() == list(range(1, STEPS + 1))
    assert episode.valid.all()
    assert (episode.terminated, episode.truncated) == (True, False)

    assert all(is_policy(command) for command in commands)
    assert summary["steps"] == STEPS
    assert summary["episode_return"] == sum(range(1, STEPS + 1))
    assert (summary["terminated"], summary["truncated"]) == (True, False)
    assert summary["outcome"] == "unknown"
    assert summary["seed"] == 7
    assert summary["mode"] == "exploit"
    assert summary["predicted_return"] == ready["predicted_return"]
    assert summary["safe_actions"] == summary["dropped_messages"] == 0
    assert 0.0 < summary["latency"]["p50"] <= summary["latency"]["p99"]
    assert summary["error"] is None
    assert [state["state"] for state in client.states] == ["planning", "ready", "running", "idle"]


def test_the_recorded_actions_are_those_of_the_same_loop_without_ros(
    arm: Arm, client: Client, checkpoint: Path
) -> None:
    client.start(seed=3)
    commands = [arm.step(number) for number in range(STEPS)]
    arm.finish(STEPS, "truncated")
    bag = Path(client.summary()["bag"])

    actor = load_checkpoint(checkpoint).make_actor("exploit")
    actor.begin(3)
    assert actor.plan is not None
    recorded_plan = Plan.from_dict(read_plan(bag) or {})
    assert np.array_equal(recorded_plan.z, actor.plan.z)
    observations = read_episode(bag).observations[:-1]
    expected = [float(actor.act(observation)[0]) for observation in observations]
    assert commands == pytest.approx(expected, abs=1e-6)


def test_the_metadata_name_everything_that_made_the_episode(
    arm: Arm, client: Client, checkpoint: Path, contract: Path
) -> None:
    client.start(seed=1)
    arm.step(0)
    arm.finish(1, "truncated")
    metadata = read_metadata(Path(client.summary()["bag"]))
    loaded = load_checkpoint(checkpoint)
    assert metadata.checkpoint == str(checkpoint)
    assert metadata.checkpoint_digest == loaded.digest
    assert metadata.embodiment_digest == loaded.embodiment.digest
    assert metadata.policy == "gac"
    assert metadata.lock_step
    assert metadata.started.endswith("+00:00")
    assert metadata.topics == {
        "joint_states": "/joint_states",
        "arm/commands": "/arm/commands",
        "reward": "/reward",
        "episode_end": "/episode_end",
        "plan": "/gac_controller/plan",
        "decision": "/gac_controller/decision",
        "fault": "/gac_controller/fault",
    }


def test_an_observation_that_is_not_a_number_gets_the_safe_action(arm: Arm, client: Client) -> None:
    client.start()
    assert is_policy(arm.step(0))
    arm.reward(1.0)
    arm.observe(position=float("nan"))
    assert arm.next_command() == SAFE
    assert is_policy(arm.step(2))
    arm.finish(3, "truncated")
    summary = client.summary()
    assert summary["safe_actions"] == 1
    assert read_episode(Path(summary["bag"])).valid.tolist() == [True, False, True]
    client.diagnosis("last safe reason", "the observation is not finite")


def test_a_missing_joint_gets_the_safe_action_and_is_named_in_diagnostics(
    arm: Arm, client: Client
) -> None:
    client.start()
    arm.step(0)
    arm.reward(1.0)
    arm.observe(joints=("elbow", "wrist"))
    assert arm.next_command() == SAFE
    client.diagnosis("last safe reason", "joint shoulder is missing")
    assert is_policy(arm.step(2))
    arm.finish(3, "truncated")
    assert client.summary()["safe_actions"] == 1


def test_a_first_observation_that_lacks_a_joint_is_no_step(arm: Arm, client: Client) -> None:
    client.start()
    arm.observe(joints=("elbow", "wrist"))
    assert arm.next_command() == SAFE
    assert client.states[-1]["state"] == "ready"
    assert is_policy(arm.step(0))
    arm.finish(1, "truncated")
    summary = client.summary()
    assert (summary["steps"], summary["safe_actions"]) == (1, 0)
    assert len(read_episode(Path(summary["bag"]))) == 1


def test_bytes_that_are_no_message_are_named_and_leave_no_trace_in_the_bag(
    arm: Arm, client: Client, running: RosProcess
) -> None:
    client.start()
    arm.step(0)
    arm.send("joint_states", b"\x00\x01\x00\x00garbage")
    client.diagnosis("undecodable messages", "1")
    assert is_policy(arm.step(1))
    arm.finish(2, "truncated")
    assert len(read_episode(Path(client.summary()["bag"]))) == 2
    assert "not a valid sensor_msgs/msg/JointState" in running.output


def test_an_action_beyond_the_end_was_never_executed_and_is_no_step(
    arm: Arm, client: Client
) -> None:
    client.start()
    arm.step(0)
    arm.step(1)  # the robot says no more than its end: this action came too late
    arm.end("truncated")
    summary = client.summary()
    assert summary["steps"] == 1
    assert summary["episode_return"] == 1.0


def test_a_discarded_episode_leaves_nothing_behind(
    arm: Arm, client: Client, episodes: Path
) -> None:
    before = bags(episodes)
    episode = client.start()["episode_id"]
    arm.step(0)
    reply = client.request("discard_episode")
    assert reply.success
    assert episode in reply.message
    assert client.until("idle")["summary"] is None
    assert arm.next_command() == SAFE
    # The next episode's bag is written after the deletion.
    client.start()
    arm.step(0)
    arm.finish(1, "truncated")
    after = Path(client.summary()["bag"]).name
    assert bags(episodes) == sorted([*before, after])
    assert list((episodes / ".recording").iterdir()) == []


def test_a_folder_that_stops_taking_episodes_costs_the_bag_and_not_the_control(
    arm: Arm, client: Client, episodes: Path, running: RosProcess
) -> None:
    aside = episodes.rename(episodes.with_name("aside"))
    episodes.write_text("no folder any more")
    try:
        client.start()
        assert is_policy(arm.step(0))
        arm.finish(1, "truncated")
        summary = client.summary()
    finally:
        episodes.unlink()
        aside.rename(episodes)
    assert (summary["steps"], summary["bag"]) == (1, None)
    assert str(episodes) in summary["error"]
    assert "the episode is not being recorded" in running.output
    client.diagnosis("last error", str(episodes))

    arm.forget()
    client.start()
    arm.step(0)
    arm.finish(1, "truncated")
    assert client.summary()["error"] is None


def test_an_operator_ends_an_episode_with_an_outcome(arm: Arm, client: Client) -> None:
    client.start()
    arm.step(0)
    reply = client.end(success=True)
    assert reply.success, reply.message
    arm.reward(5.0)
    arm.observe()
    summary = client.summary()
    assert (summary["outcome"], summary["truncated"]) == ("success", True)
    assert summary["terminated"] is False
    assert (summary["steps"], summary["episode_return"]) == (1, 5.0)
    assert arm.next_command() == SAFE


def test_requests_out_of_turn_are_refused_with_a_reason(arm: Arm, client: Client) -> None:
    assert "no episode is running" in client.end(success=True).message
    assert "no episode to discard" in client.request("discard_episode").message
    client.start()
    refused = client.request("start_episode")
    assert not refused.success
    assert "end or discard it first" in refused.message
    assert not client.end(success=False).success  # nothing was done yet
    assert client.request("discard_episode").success
    client.until("idle")


def test_parameters_are_refused_with_a_reason(client: Client) -> None:
    assert "not one of exploit, explore, posterior" in client.set("mode", "win").reason
    assert "clean the node up first" in client.set("robot", "hopper").reason
    assert "read-only" in client.set("autostart", False).reason
    assert "seed" in client.set("seed", -7).reason
    assert client.set("seed", 5).successful


def test_each_parameter_takes_effect_while_active_or_is_refused_with_the_reason(
    client: Client,
) -> None:
    reasons = {Effect.START: "read-only", Effect.CONFIGURE: "clean the node up first"}
    for spec in PARAMETERS:
        answer = client.set(spec.name, spec.default)
        assert answer.successful == (spec.effect is Effect.EPISODE), spec.name
        assert reasons.get(spec.effect, "") in answer.reason


@pytest.mark.parametrize("mode", ["explore", "posterior"])
def test_each_mode_plans_for_the_target_return(arm: Arm, client: Client, mode: str) -> None:
    assert client.set("mode", mode).successful
    assert client.set("target_return", 1.5).successful
    try:
        client.start()
        arm.step(0)
        arm.finish(1, "truncated")
        summary = client.summary()
    finally:
        client.set("mode", "exploit")
        client.set("target_return", float("nan"))
    assert summary["mode"] == mode
    plan = read_plan(Path(summary["bag"])) or {}
    assert (plan["mode"], plan["target_return"]) == (mode, 1.5)


def test_deactivation_interrupts_the_episode_and_sends_the_safe_action_last(
    arm: Arm, client: Client
) -> None:
    client.start()
    arm.step(0)
    arm.step(1)
    arm.reward(2.0)
    assert client.change(Transition.TRANSITION_DEACTIVATE)
    assert client.lifecycle() == "inactive"
    summary = client.summary()
    assert summary["outcome"] == "interrupted"
    assert summary["steps"] == 2
    assert len(read_episode(Path(summary["bag"]))) == 2
    assert arm.commands[-1] == SAFE

    count = len(arm.commands)
    arm.observe()
    assert "not active" in client.request("start_episode").message
    assert len(arm.commands) == count
    assert not client.change(Transition.TRANSITION_DEACTIVATE)  # not possible, and no crash
    client.states.clear()
    assert client.change(Transition.TRANSITION_ACTIVATE)
    client.until("idle")
