"""A stand with the processes that answer it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from gac_ros.bench.over_ros.stand import Port, Stand
from gac_ros.bench.over_ros.subject import Subject
from gac_ros.errors import TransportError
from gac_ros.evaluation.over_ros.greeting import Greeting
from gac_ros.evaluation.over_ros.session import client_node, write_parameters
from gac_ros.evaluation.processes import (
    ChildProcess,
    child_environment,
    reserved_domain,
    ros_environment,
)

_NODE = "gac_controller"
_START = 300.0  # s; a busy machine loads PyTorch slowly
_ANSWER = 120.0  # s
_PRIORITY = 20
_LATCHED = QoSProfile(
    depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class Rig:
    """Starts processes on a ROS domain of their own; `open_rig` ends them.

    Attributes:
        stand: plays the robot.
    """

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        domain = stack.enter_context(reserved_domain())
        ros = ros_environment(domain, folder)
        self._folder = folder
        self._environment = child_environment(ros)
        self._stack = stack
        self._children: list[ChildProcess] = []
        node = stack.enter_context(client_node(domain, ros))
        self.stand = Stand(node, self._require_running)
        stack.callback(self.stand.close)

    def start(self, name: str, module: str, arguments: list[str]) -> ChildProcess:
        """Start a module as a process; its output goes to NAME.log."""
        log = self._folder / f"{name}.log"
        child = ChildProcess(name, module, arguments, log, self._environment)
        self._children.append(child)
        self._stack.callback(child.end)
        return child

    def start_echo(self, kind: str) -> EchoUnderTest:
        """Start a node that only echoes: `decoded` or `raw`."""
        prefix = f"echo_{kind}"
        process = self.start(prefix, "gac_ros.bench.over_ros.echo", [prefix, kind])
        port = Port(self.stand.node, f"{prefix}/", reliable=False, rewards=False)
        self.stand.connect(port)
        return EchoUnderTest(process, port)

    def start_witnesses(self) -> list[Path]:
        """Have each processor watched for standstills; returns the logs for `read_witnesses`."""
        module = "gac_ros.bench.over_ros.witness"
        return [
            self.start(f"witness-{number}", module, [str(number)]).log
            for number in sorted(os.sched_getaffinity(0))
        ]

    def start_controller(
        self, name: str, subject: Subject, episodes: Path | None, **parameters: Any
    ) -> ControllerUnderTest:
        """Start a controller in the namespace `name`, active; `episodes` receives its bags."""
        record: dict[str, Any] = {"enabled": episodes is not None, "min_free_space": 0.0}
        if episodes is not None:
            record["directory"] = str(episodes.absolute())
        content = {
            "robot": str(subject.contract.absolute()),
            "checkpoint": str(subject.checkpoint.absolute()),
            "autostart": True,
            "record": record,
            **parameters,
        }
        file = write_parameters(self._folder / f"{name}.yaml", f"{name}/{_NODE}", content)
        arguments = ["--ros-args", "-r", f"__ns:=/{name}", "--params-file", str(file)]
        process = self.start(name, "gac_ros.nodes.controller", arguments)
        return ControllerUnderTest(
            self.stand, name, process, reliable=bool(parameters.get("lock_step"))
        )

    def _require_running(self) -> None:
        for child in self._children:
            child.require_running()


@contextmanager
def open_rig(folder: Path) -> Iterator[Rig]:
    """A rig whose logs go to a folder; its processes end with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        yield Rig(folder, stack)


@dataclass(frozen=True)
class EchoUnderTest:
    """A running echo, with its topics."""

    process: ChildProcess
    port: Port


class ControllerUnderTest:
    """A running controller.

    Attributes:
        process: the controller.
        port: its topics.
    """

    def __init__(self, stand: Stand, name: str, process: ChildProcess, *, reliable: bool) -> None:
        self._stand = stand
        self.process = process
        node = stand.node
        prefix = f"{name}/{_NODE}"
        self._state: dict[str, Any] = {}
        node.create_subscription(String, f"{prefix}/episode", self._on_state, _LATCHED)
        self._start = node.create_client(Trigger, f"{prefix}/start_episode")
        self._end = node.create_client(SetBool, f"{prefix}/end_episode")
        self.port = Port(node, f"{name}/", reliable=reliable, rewards=True)
        greeting = Greeting(node, prefix)
        stand.spin_until(lambda: self._state.get("state") == "idle", _START, "the controller")
        stand.spin_until(greeting.answered, _ANSWER, "the controller's answer")
        greeting.close()
        stand.connect(self.port)

    def take_priority(self) -> bool:
        """Give its threads a real-time priority, as `chrt` would; whether that is permitted."""
        try:
            for thread in (Path("/proc") / str(self.process.pid) / "task").iterdir():
                os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(_PRIORITY))
        except PermissionError:
            return False
        return True

    def start_episode(self) -> None:
        """Have an episode planned; it begins with the next state.

        Raises:
            TransportError: it is not planned, or not in time.
        """
        self._call(self._start, Trigger.Request())
        self._wait_for("ready")

    def end_episode(self) -> dict[str, Any]:
        """End the episode; returns the controller's summary.

        Raises:
            TransportError: it did not run, or its end is not told in time.
        """
        self._call(self._end, SetBool.Request(data=True))
        # The final observation, and perhaps a last reward: the controller waits for both, and the
        # first reward does not count where it overtook the state that began the episode.
        self.port.state()
        self.port.reward()
        self._wait_for("idle")
        summary = self._state["summary"]
        if summary is None or summary["error"]:
            reason = self._state["error"] if summary is None else summary["error"]
            raise TransportError(f"the episode has no result: {reason}")
        return dict(summary)

    def _on_state(self, message: Any) -> None:
        self._state = json.loads(message.data)

    def _wait_for(self, state: str) -> None:
        self._stand.spin_until(
            lambda: self._state["state"] == state, _ANSWER, f"an episode that is {state}"
        )

    def _call(self, client: Any, request: Any) -> None:
        # What was told before counts no more.
        self._stand.spin_until(client.service_is_ready, _ANSWER, client.srv_name)
        before, self._state = self._state, {"state": ""}
        future = client.call_async(request)
        self._stand.spin_until(future.done, _ANSWER, client.srv_name)
        response = future.result()
        if not response.success:
            self._state = before
            raise TransportError(f"{client.srv_name}: {response.message}")
