"""Every lifecycle transition in every order, again and again, in one process: what leaks?

    python benchmarks/lifecycle.py --rounds 200 --json lifecycle.json

A round makes a node and asks it for every transition in every state, possible or not, on a walk
that takes each ordered pair of possible ones; then it shuts the node down, by turns from each
state. Threads, open files and the node's topics and services are counted after each round.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.ros_support import claimed_domain

# From unconfigured to itself: every transition follows every other that it can follow.
_UP_AND_DOWN = ("configure", "activate", "deactivate")
WALK = (
    "configure",
    "cleanup",
    *_UP_AND_DOWN,
    "activate",
    "deactivate",
    "cleanup",
    *_UP_AND_DOWN,
    "cleanup",
)
POSSIBLE = {
    "unconfigured": {"configure": "inactive"},
    "inactive": {"activate": "active", "cleanup": "unconfigured"},
    "active": {"deactivate": "inactive"},
}
TRANSITIONS = ("configure", "activate", "deactivate", "cleanup")


def main() -> int:
    """Walk and count; returns 1 when something leaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with claimed_domain() as domain, tempfile.TemporaryDirectory() as folder:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_LOG_DIR"] = folder
        counts = walk(arguments.rounds, Path(folder))
    # The first rounds load what is loaded once.
    base, last = counts[min(2, len(counts) - 1)], counts[-1]
    grown = {key: last[key] - base[key] for key in base if key != "seconds"}
    leaks = {key: value for key, value in grown.items() if value > 0}
    transitions = len(WALK) * arguments.rounds
    print(f"{arguments.rounds} rounds, {transitions} transitions; growth {grown}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"rounds": counts, "growth": grown}, indent=1) + "\n")
    return 1 if leaks else 0


def walk(rounds: int, folder: Path) -> list[dict[str, Any]]:
    """What is open after each round."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from tests.nodes.support import write_checkpoint, write_contract

    robot = write_contract(folder / "arm.yaml")
    checkpoint = write_checkpoint(robot, folder / "checkpoint")
    given = {
        "robot": robot,
        "checkpoint": checkpoint,
        "record.directory": folder / "episodes",
        "record.repair": "false",
    }
    ros_arguments = ["controller", "--ros-args"]
    for name, value in given.items():
        ros_arguments += ["-p", f"{name}:={value}"]
    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    counts = []
    try:
        for number in range(rounds):
            started = time.monotonic()
            one_round(number)
            gc.collect()
            counts.append({**open_now(), "seconds": round(time.monotonic() - started, 3)})
    finally:
        rclpy.try_shutdown()
    return counts


def one_round(number: int) -> None:
    """One node's life."""
    from gac_ros.nodes.node import GacController

    node = GacController()
    empty = entities(node)
    state = "unconfigured"
    for wanted in WALK:
        for transition in TRANSITIONS:
            if transition not in POSSIBLE[state]:
                assert not ask(node, transition), f"{transition} in {state}"
        assert ask(node, wanted), f"{wanted} in {state}: {node.failure}"
        state = POSSIBLE[state][wanted]
        if state == "unconfigured":
            assert entities(node) == empty, (entities(node), empty)
    # Shut down from each state by turns.
    for transition in ("configure", "activate")[: number % 3]:
        assert ask(node, transition)
    node.stop()
    node.destroy_node()


def ask(node: Any, transition: str) -> bool:
    """Ask the node's own service callback, as a client's request does."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    (service,) = [each for each in node.services if each.srv_type is ChangeState]
    wanted = getattr(Transition, f"TRANSITION_{transition.upper()}")
    request = ChangeState.Request(transition=Transition(id=wanted))
    return bool(service.callback(request, ChangeState.Response()).success)


def entities(node: Any) -> dict[str, int]:
    """How much of everything a node has."""
    kinds = ("publishers", "subscriptions", "services", "clients", "timers", "guards", "waitables")
    return {kind: len(list(getattr(node, kind))) for kind in kinds}


def open_now() -> dict[str, int]:
    """Threads and files of this process."""
    process = Path("/proc/self")
    return {
        "threads": len(list((process / "task").iterdir())),
        "python_threads": threading.active_count(),
        "files": len(list((process / "fd").iterdir())),
    }


if __name__ == "__main__":
    sys.exit(main())
