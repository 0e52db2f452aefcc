"""A robot played by the test, and a client of the controller: both talk real DDS.

The robot is an arm with two joints. Its safe action is 0.25, which no policy ever gives, so that
a command tells by itself who decided it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_srvs.srv import SetBool, Trigger

from gac_ros import messages
from gac_ros.checkpoint import save_checkpoint
from gac_ros.embodiment import load_embodiment
from gac_ros.ros_types import ros_class
from tests.ros_support import RosPeer, RosProcess, ros_process
from tests.toy import untrained_checkpoint

SAFE = 0.25
STEPS = 12
JOINTS = ("elbow", "shoulder")

ARM: dict[str, Any] = {
    "name": "arm",
    "control_rate": 50.0,
    "episode_length": STEPS,
    "observation": [
        {
            "topic": "joint_states",
            "type": messages.JOINT_STATE,
            "max_age": 0.5,
            "fields": [
                {"select": "position.shoulder", "unit": "rad"},
                {"select": "velocity.elbow", "unit": "rad/s"},
            ],
        }
    ],
    "action": {
        "topic": "arm/commands",
        "type": messages.FLOAT64_MULTI_ARRAY,
        "interface": "effort",
        "fields": [{"joint": "shoulder", "unit": "N*m", "limits": [-1.0, 1.0], "safe": SAFE}],
    },
    "return": {"source": "reward_topic", "topic": "reward"},
    "episode_end_topic": "episode_end",
}


def write_contract(path: Path, **changes: Any) -> Path:
    """The arm's embodiment file, with other values for some keys."""
    content = {key: value for key, value in {**ARM, **changes}.items() if value is not None}
    path.write_text(yaml.safe_dump(content))
    return path


def write_checkpoint(contract: Path, directory: Path) -> Path:
    """A checkpoint of random weights that fits an embodiment file."""
    return save_checkpoint(untrained_checkpoint(load_embodiment(contract)), directory)


class Arm:
    """The robot: publishes what it is told to, keeps every byte it sends and gets.

    Attributes:
        messages: (topic, bytes) of all that was sent or received, by topic name in the bag.
    """

    def __init__(self, peer: RosPeer, namespace: str = "") -> None:
        self._peer = peer
        self._namespace = namespace
        self.messages: list[tuple[str, bytes]] = []
        self._publishers = {
            "joint_states": self._publisher("joint_states", messages.JOINT_STATE),
            "reward": self._publisher("reward", messages.FLOAT64),
            "episode_end": self._publisher("episode_end", messages.STRING),
        }
        self._subscribe("arm/commands", messages.FLOAT64_MULTI_ARRAY)
        self._subscribe("gac_controller/decision", messages.FLOAT64_MULTI_ARRAY)
        self._subscribe("gac_controller/plan", messages.STRING)
        self._taken = 0
        self._timer: Any = None

    def _publisher(self, topic: str, kind: str) -> Any:
        name = f"{self._namespace}/{topic}"
        return self._peer.node.create_publisher(ros_class(kind), name, 10)

    def _subscribe(self, topic: str, kind: str) -> None:
        name = f"{self._namespace}/{topic}"

        def receive(data: bytes) -> None:
            self.messages.append((name, data))

        qos = QoSProfile(depth=100)
        self._peer.node.create_subscription(ros_class(kind), name, receive, qos, raw=True)

    def connect(self) -> None:
        """Wait until every topic of the controller is there."""
        commands = f"{self._namespace}/arm/commands"

        def connected() -> bool:
            observed = self._publishers["joint_states"].get_subscription_count()
            return bool(observed) and self._peer.node.count_publishers(commands) > 0

        self._peer.spin_until(connected)

    def disconnected(self) -> bool:
        """Whether the controller's topics are gone."""
        return not self._publishers["joint_states"].get_subscription_count()

    def send(self, topic: str, data: bytes) -> None:
        """Publish bytes."""
        self.messages.append((f"{self._namespace}/{topic}", data))
        self._publishers[topic].publish(data)

    def observe(self, position: float = 0.1, velocity: float = -0.2, joints: Any = JOINTS) -> None:
        """Publish the joints' state."""
        message = messages.joint_state(
            0, joints, position=[9.0, position], velocity=[velocity, 8.0], effort=[0.0, 0.0]
        )
        self.send("joint_states", messages.serialize(message))

    def stream(self, on: bool) -> None:
        """Publish the joints' state at 50 Hz, or stop it; while the peer spins."""
        if self._timer is not None:
            self._peer.node.destroy_timer(self._timer)
        self._timer = self._peer.node.create_timer(0.02, self.observe) if on else None

    def reward(self, value: float) -> None:
        """Publish a reward."""
        self.send("reward", messages.serialize(messages.float64(value)))

    def end(self, reason: str) -> None:
        """Publish the episode's end."""
        self.send("episode_end", messages.serialize(messages.string(reason)))

    def bytes_of(self, topic: str) -> list[bytes]:
        """Everything that was sent or received on a topic."""
        name = f"{self._namespace}/{topic}"
        return [data for where, data in self.messages if where == name]

    @property
    def commands(self) -> list[float]:
        """Commands received so far."""
        return [
            float(messages.deserialize(data, messages.FLOAT64_MULTI_ARRAY).data[0])
            for data in self.bytes_of("arm/commands")
        ]

    @property
    def decisions(self) -> list[tuple[int, int]]:
        """Step and source of the decisions received so far."""
        topic = "gac_controller/decision"
        rows = [
            messages.deserialize(data, messages.FLOAT64_MULTI_ARRAY).data
            for data in self.bytes_of(topic)
        ]
        return [(int(row[0]), int(row[1])) for row in rows]

    def next_command(self) -> float:
        """Wait for one more command than has been taken so far."""
        self._peer.spin_until(lambda: len(self.bytes_of("arm/commands")) > self._taken)
        self._taken += 1
        return self.commands[self._taken - 1]

    def forget(self) -> None:
        """Drop all that was kept."""
        self.messages.clear()
        self._taken = 0

    def step(self, number: int) -> float:
        """In lock-step: the reward of the last action, an observation, and the action for it."""
        if number > 0:
            self.reward(float(number))
        self.observe(0.1 * number, -0.05 * number)
        return self.next_command()

    def finish(self, number: int, reason: str) -> None:
        """In lock-step: what follows the last action."""
        self.reward(float(number))
        self.end(reason)
        self.observe(0.1 * number, -0.05 * number)


class Client:
    """Calls the controller's services and follows its topics.

    Attributes:
        states: content of the episode topic, oldest first.
    """

    def __init__(self, peer: RosPeer, node: str = "/gac_controller") -> None:
        self._peer = peer
        self._node = node
        self.states: list[dict[str, Any]] = []
        self.reports: list[Any] = []
        latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        peer.node.create_subscription(
            ros_class(messages.STRING),
            f"{node}/episode",
            lambda message: self.states.append(json.loads(message.data)),
            latched,
        )
        peer.node.create_subscription(
            ros_class("diagnostic_msgs/msg/DiagnosticArray"),
            "/diagnostics",
            lambda message: self.reports.extend(message.status),
            10,
        )

    def set(self, name: str, value: Any) -> Any:
        """Set a parameter; returns rcl_interfaces' result."""
        return self._peer.set_parameter(self._node, name, value)

    def request(self, name: str) -> Any:
        """Call `start_episode` or `discard_episode`."""
        return self._peer.call(Trigger, f"{self._node}/{name}")

    def end(self, *, success: bool) -> Any:
        """Call `end_episode`."""
        return self._peer.call(SetBool, f"{self._node}/end_episode", SetBool.Request(data=success))

    def change(self, transition: int) -> bool:
        """Ask for a lifecycle transition; returns whether it succeeded."""
        request = ChangeState.Request(transition=Transition(id=transition))
        return bool(self._peer.call(ChangeState, f"{self._node}/change_state", request).success)

    def lifecycle(self) -> str:
        """Label of the lifecycle state."""
        return str(self._peer.call(GetState, f"{self._node}/get_state").current_state.label)

    def until(self, state: str) -> dict[str, Any]:
        """Wait until the newest word on the episode topic is this state."""
        self._peer.spin_until(lambda: self.states and self.states[-1]["state"] == state)
        return self.states[-1]

    def start(self, seed: int = 0) -> dict[str, Any]:
        """Start an episode and wait until it is ready."""
        assert self.set("seed", seed).successful
        self.states.clear()
        reply = self.request("start_episode")
        assert reply.success, reply.message
        return self.until("ready")

    def summary(self) -> dict[str, Any]:
        """Wait for the episode's summary."""
        self._peer.spin_until(lambda: self.states and self.states[-1]["state"] == "idle")
        summary = self.states[-1]["summary"]
        assert summary is not None, self.states[-1]
        return dict(summary)

    def diagnosis(self, key: str, text: str) -> Any:
        """Wait until diagnostics hold a value that contains a text; returns the status."""

        def found() -> Any:
            return [
                status
                for status in self.reports
                if any(pair.key == key and text in pair.value for pair in status.values)
            ]

        self._peer.spin_until(found)
        return found()[-1]


@contextmanager
def controller(
    *arguments: str, module: str = "gac_ros.nodes.controller", **parameters: Any
) -> Iterator[RosProcess]:
    """A controller process; parameter names have `__` for the dot."""
    given = {name.replace("__", "."): value for name, value in parameters.items()}
    with ros_process(module, *arguments, **given) as process:
        yield process


@contextmanager
def connected(
    arm: Arm, client: Client, contract: Path, checkpoint: Path, episodes: Path, **more: Any
) -> Iterator[RosProcess]:
    """A controller that activates itself, records, and has found the arm."""
    client.states.clear()
    with controller(
        robot=contract,
        checkpoint=checkpoint,
        autostart=True,
        record__directory=episodes,
        **more,
    ) as process:
        client.until("idle")
        arm.connect()
        yield process


def is_policy(command: float) -> bool:
    """Whether a command was decided by the policy."""
    return not np.isclose(command, SAFE)
