"""Every lifecycle transition in every order, again and again, in one process: what leaks?

    python benchmarks/lifecycle.py --rounds 200 --json lifecycle.json
    python benchmarks/lifecycle.py --rounds 200 --episodes --json lifecycle_episodes.json

A round makes a node and asks it for every transition in every state, possible or not, on a walk
that takes each ordered pair of possible ones; then it shuts the node down, by turns from each
state. Threads, processes, open files and the node's topics and services are counted after each
round.

With --episodes a round drives a robot instead, with a planning process beside the controller: an
episode that deactivation interrupts, and one that ends, by turns, with a shutdown or with a defect
in the transition, from which the node recovers.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gac_ros.bench.provenance import commit
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
# A plan is asked for as soon as there is one, and taken.
_REPLANNING = {"when": "periodic", "period": 4, "rest": 4, "margin": 0.0, "langevin_steps": 5}
_EPISODES = "episodes"


def main() -> int:
    """Walk and count; returns 1 when something leaks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--episodes", action="store_true", help="drive, plan and fail meanwhile")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    code = commit()  # of what runs, before somebody changes it
    with claimed_domain() as domain, tempfile.TemporaryDirectory() as folder:
        os.environ["ROS_DOMAIN_ID"] = str(domain)
        os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
        os.environ["ROS_LOG_DIR"] = folder
        live = drive if arguments.episodes else walk
        counts = live(arguments.rounds, Path(folder), domain)
    # The first rounds load what is loaded once.
    base, last = counts[min(2, len(counts) - 1)], counts[-1]
    told = ("seconds", "transitions")
    grown = {key: last[key] - base[key] for key in base if key not in told}
    leaks = {key: value for key, value in grown.items() if value > 0}
    transitions = sum(each["transitions"] for each in counts)
    print(f"{arguments.rounds} rounds, {transitions} transitions; growth {grown}")
    if arguments.json is not None:
        report = {"commit": code, "transitions": transitions, "growth": grown, "rounds": counts}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if leaks else 0


def walk(rounds: int, folder: Path, _: int) -> list[dict[str, Any]]:
    """What is open after each round of transitions."""
    with controller_context(folder):
        return [counted(lambda: walk_once(number)) for number in range(rounds)]  # noqa: B023


def drive(rounds: int, folder: Path, domain: int) -> list[dict[str, Any]]:
    """What is open after each round of episodes."""
    more = {f"replanning.{name}": value for name, value in _REPLANNING.items()}
    with controller_context(folder, mode="explore", **more):
        stand = Stand(domain, folder / _EPISODES)
        counts = [counted(lambda: stand.drive_once(number)) for number in range(rounds)]  # noqa: B023
        stand.close()
    return counts


@contextmanager
def controller_context(folder: Path, **more: Any) -> Iterator[None]:
    """ROS with the parameters of a controller for an arm, below a folder."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from tests.nodes.support import write_checkpoint, write_contract

    robot = write_contract(folder / "arm.yaml", episode_length=100_000, episode_end_topic=None)
    checkpoint = write_checkpoint(robot, folder / "checkpoint")
    given = {
        "robot": robot,
        "checkpoint": checkpoint,
        "record.directory": folder / _EPISODES,
        "record.repair": "false",
        **more,
    }
    ros_arguments = ["controller", "--ros-args"]
    for name, value in given.items():
        ros_arguments += ["-p", f"{name}:={value}"]
    rclpy.init(args=ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield
    finally:
        rclpy.try_shutdown()


def counted(live: Callable[[], int]) -> dict[str, Any]:
    """What is open after a node's life, which tells how many transitions it made."""
    started = time.monotonic()
    transitions = live()
    gc.collect()
    seconds = round(time.monotonic() - started, 3)
    return {**open_now(), "transitions": transitions, "seconds": seconds}


def walk_once(number: int) -> int:
    """One node's life in transitions; returns how many."""
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
    upwards = ("configure", "activate")[: number % 3]
    for transition in upwards:
        assert ask(node, transition)
    shut_down(node, empty)
    node.destroy_node()
    return len(WALK) + len(upwards) + 1


def shut_down(node: Any, empty: dict[str, int]) -> None:
    """Ask for the shutdown, after which nothing is left and nothing is possible."""
    assert ask(node, "shutdown"), node.failure
    assert entities(node) == empty, (entities(node), empty)
    for transition in (*TRANSITIONS, "shutdown"):
        assert not ask(node, transition), f"{transition} after the shutdown"


class Stand:
    """An arm and an operator, who drive one controller after another in this process.

    Args:
        domain: of ROS.
        episodes: where the controllers record.
    """

    def __init__(self, domain: int, episodes: Path) -> None:
        from tests.nodes.support import Arm
        from tests.ros_support import RosPeer

        self._peer = RosPeer(domain)
        self._arm = Arm(self._peer)
        self._arm.stream(True)
        self._episodes = episodes
        self._driven = 0

    def close(self) -> None:
        """Release everything."""
        self._arm.stream(False)
        self._peer.close()

    def drive_once(self, number: int) -> int:
        """One node's life with two episodes; returns how many transitions it made."""
        from rclpy.experimental import EventsExecutor

        from gac_ros.nodes.node import GacController

        node, executor = GacController(), EventsExecutor()
        executor.add_node(node)
        empty, processes = entities(node), descendants()
        for transition in ("configure", "activate"):
            assert ask(node, transition), node.failure
        self._begin_episode(node, executor)
        assert descendants() == processes + 1
        assert ask(node, "deactivate"), node.failure
        self._see_it_stopped(executor)
        assert ask(node, "activate"), node.failure
        self._begin_episode(node, executor)
        if number % 2:
            fail_once(node)
            assert not ask(node, "deactivate")
        else:
            assert ask(node, "shutdown"), node.failure
        assert descendants() == processes
        assert entities(node) == empty, (entities(node), empty)
        self._see_it_stopped(executor)
        if number % 2:
            shut_down(node, empty)
        executor.shutdown()
        node.destroy_node()
        return 6 if number % 2 else 5

    def _begin_episode(self, node: Any, executor: Any) -> None:
        """Start an episode, and drive until its plan was changed."""
        self._arm.forget()
        # The last episode's end may still be under way.
        self._spin_until(executor, lambda: call(node, "start_episode"))
        self._spin_until(executor, lambda: len(self._arm.bytes_of("gac_controller/plan")) > 1)
        self._driven += 1

    def _see_it_stopped(self, executor: Any) -> None:
        """The robot has the safe action last, and the interrupted episode is kept."""
        from tests.nodes.support import SAFE

        self._spin_until(executor, lambda: self._arm.commands[-1] == SAFE)
        bags = [each for each in self._episodes.iterdir() if not each.name.startswith(".")]
        assert len(bags) == self._driven, (len(bags), self._driven)

    def _spin_until(self, executor: Any, condition: Callable[[], Any]) -> None:
        """Serve the controller and the arm by turns."""

        def served() -> Any:
            executor.spin_once(timeout_sec=0.0)
            return condition()

        self._peer.spin_until(served)


def fail_once(node: Any) -> None:
    """Have the next attempt to stop the driver meet a defect."""
    driver = node._driver
    stop = driver.stop

    def fail() -> None:
        driver.stop = stop
        raise ArithmeticError("a defect made on purpose")

    driver.stop = fail


def call(node: Any, name: str) -> bool:
    """Call a Trigger service of the node by its callback."""
    from std_srvs.srv import Trigger

    (service,) = [each for each in node.services if each.srv_name.endswith(name)]
    return bool(service.callback(Trigger.Request(), Trigger.Response()).success)


def ask(node: Any, transition: str) -> bool:
    """Ask the node's own service callback, as a client's request does."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    (service,) = [each for each in node.services if each.srv_type is ChangeState]
    if transition == "shutdown":  # whose number depends on the state
        wanted = Transition(label=transition)
    else:
        wanted = Transition(id=getattr(Transition, f"TRANSITION_{transition.upper()}"))
    request = ChangeState.Request(transition=wanted)
    return bool(service.callback(request, ChangeState.Response()).success)


def entities(node: Any) -> dict[str, int]:
    """How much of everything a node has."""
    kinds = ("publishers", "subscriptions", "services", "clients", "timers", "guards", "waitables")
    return {kind: len(list(getattr(node, kind))) for kind in kinds}


def open_now() -> dict[str, int]:
    """Threads and files of this process, and the processes below it."""
    process = Path("/proc/self")
    return {
        "threads": len(list((process / "task").iterdir())),
        "python_threads": threading.active_count(),
        "processes": descendants(),
        "files": len(list((process / "fd").iterdir())),
    }


def descendants() -> int:
    """How many processes descend from this one, those included that nobody has waited for."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # PID (NAME) STATE PARENT ...; a name may hold anything.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return len(found) - 1
        found |= more


if __name__ == "__main__":
    sys.exit(main())
