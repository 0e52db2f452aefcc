"""A controller that drives a simulated robot whose sensor fails on purpose, over real DDS."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gac_ros import messages
from gac_ros.checkpoint import save_checkpoint
from gac_ros.embodiment import find_embodiment
from tests.nodes.support import Client, controller
from tests.ros_support import RosPeer, ros_process
from tests.toy import untrained_checkpoint

ROBOT = "pointmaze_umaze"
COMMANDS = f"/{find_embodiment(ROBOT).action.topic}"
DECISIONS = "/gac_controller/decision"


def wait_for_decisions(peer: RosPeer, source: int, count: int = 5) -> None:
    """Wait for some decisions in a row by the policy (0) or the safety stage (1)."""
    seen = len(peer.of(DECISIONS))

    def found() -> bool:
        sources = [int(decision.data[1]) for decision in peer.of(DECISIONS)[seen:]]
        return len(sources) >= count and set(sources[-count:]) == {source}

    peer.spin_until(found)


def test_under_a_fault_the_robot_gets_the_safe_action_and_afterwards_the_policy_again(
    ros_peer: RosPeer, tmp_path: Path
) -> None:
    peer, client = ros_peer, Client(ros_peer)
    embodiment = find_embodiment(ROBOT)
    checkpoint = save_checkpoint(untrained_checkpoint(embodiment), tmp_path / "checkpoint")
    peer.subscribe(messages.FLOAT64_MULTI_ARRAY, DECISIONS)
    peer.subscribe(embodiment.action.type.value, COMMANDS)
    peer.subscribe(messages.STRING, "/gac_controller/fault")

    def inject(**keys: Any) -> None:
        text = json.dumps(keys) if keys else ""
        assert peer.set_parameter("/sim", "inject_fault", text).successful

    def raised(fault: str) -> bool:
        told = [json.loads(message.data) for message in peer.of("/gac_controller/fault")]
        return fault in [event["fault"] for event in told if event["event"] == "raised"]

    with (
        # Slow enough that the episode outlasts both faults on a busy machine, too.
        ros_process("gac_ros.sim.node", robot=ROBOT, fault_injection=True, real_time_factor=0.2),
        controller(
            robot=ROBOT,
            checkpoint=checkpoint,
            autostart=True,
            record__directory=tmp_path / "episodes",
        ),
    ):
        client.until("idle")
        assert client.request("start_episode").success
        wait_for_decisions(peer, source=0)
        for kind, fault in (("nan", "observation_not_finite"), ("drop", "observation_stale")):
            inject(kind=kind, topic="odom")
            wait_for_decisions(peer, source=1)
            peer.spin_until(lambda: raised(fault))  # noqa: B023
            assert list(peer.of(COMMANDS)[-1].data) == embodiment.safe_action.tolist()
            inject()
            wait_for_decisions(peer, source=0)
