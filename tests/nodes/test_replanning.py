"""The controller plans again during an episode, over real DDS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gac_ros.buffer.reader import read_episode, read_messages
from gac_ros.checkpoint import load_checkpoint
from gac_ros.evaluation.evaluate import make_actor
from gac_ros.evaluation.replay import replay_bag
from gac_ros.messages import deserialize
from gac_ros.replanning.actor import ReplanningActor
from gac_ros.replanning.config import ReplanningConfig
from tests.nodes.support import STEPS, Arm, Client, connected, write_checkpoint, write_contract
from tests.ros_support import RosPeer

CONFIG = ReplanningConfig(when="periodic", period=4, rest=4, margin=0.0, langevin_steps=5)
PARAMETERS: dict[str, Any] = {
    f"replanning__{name}": value for name, value in CONFIG.model_dump().items()
}


def plans_of(bag: Path) -> list[dict[str, Any]]:
    return [
        json.loads(deserialize(message.data, message.type).data)
        for message in read_messages(bag)
        if message.topic == "/gac_controller/plan"
    ]


@pytest.fixture(autouse=True)
def fresh(arm: Arm) -> None:
    arm.forget()


def test_in_lock_step_it_does_what_the_same_actor_does_without_ros(
    contract: Path, checkpoint: Path, episodes: Path, arm: Arm, client: Client
) -> None:
    more = {"lock_step": True, **PARAMETERS}
    with connected(arm, client, contract, checkpoint, episodes, **more) as process:
        assert client.set("mode", "explore").successful
        client.start(seed=3)
        commands = [arm.step(0)]
        for number in range(1, STEPS):
            # The observation overtakes the reward that belongs before it.
            arm.observe(0.1 * number, -0.05 * number)
            arm.reward(float(number))
            commands.append(arm.next_command())
        arm.finish(STEPS, "truncated")
        summary = client.summary()
        assert process.stop() == 0
    bag = Path(summary["bag"])
    plans = plans_of(bag)
    assert len(plans) > 1
    assert len(arm.bytes_of("gac_controller/plan")) == len(plans)
    assert replay_bag(bag).largest_difference == 0.0

    actor = make_actor(load_checkpoint(checkpoint), "explore", CONFIG)
    assert isinstance(actor, ReplanningActor)
    actor.begin(3)
    expected, steps = [], [0]
    for number, observation in enumerate(read_episode(bag).observations[:-1]):
        if number > 0:
            actor.rewarded(float(number))
        before = actor.plan
        action = np.clip(actor.act(observation), -1.0, 1.0)
        if actor.plan is not before:
            steps.append(number)
        actor.executed(action)
        expected.append(float(action[0]))
    assert [plan["step"] for plan in plans] == steps
    assert commands == pytest.approx(expected, abs=1e-6)


def test_in_real_time_a_slow_plan_holds_nothing_up_and_is_taken_when_it_is_there(
    tmp_path: Path, episodes: Path, peer: RosPeer, arm: Arm, client: Client
) -> None:
    # However busy the machine: the planner takes only what nobody else wants of it.
    length = 3000
    contract = write_contract(tmp_path / "long.yaml", episode_length=length, episode_end_topic=None)
    model = write_checkpoint(contract, tmp_path / "checkpoint")
    more = {"replanning__slowdown": 0.5, **PARAMETERS}
    with connected(arm, client, contract, model, episodes, **more) as process:
        assert client.set("mode", "explore").successful
        client.start(seed=3)
        arm.stream(True)
        peer.spin_until(lambda: len(arm.bytes_of("gac_controller/plan")) > 1)
        until_then = len(arm.decisions)
        peer.spin_until(lambda: len(arm.decisions) > until_then + 20)
        assert client.end(success=True).success
        summary = client.summary()
        arm.stream(False)
        peer.spin_until(lambda: len(arm.decisions) >= summary["steps"])
        assert process.stop() == 0
        assert "Traceback" not in process.output
    bag = Path(summary["bag"])
    plans = plans_of(bag)
    # It was asked for at step 0, and steps were made until it was there.
    assert 5 < plans[1]["step"] < summary["steps"]
    assert [step for step, _ in arm.decisions] == list(range(summary["steps"]))
    report = replay_bag(bag)
    assert report.steps == summary["steps"]
    assert report.faithful
