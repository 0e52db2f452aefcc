"""What tests over real DDS share: a ROS domain of their own, node processes, a peer to talk with.

The fixtures `ros_domain` and `ros_peer` are for every folder whose conftest.py imports them.
Nothing here waits for a fixed time: every wait ends with the event it is for, and fails after a
generous timeout.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gac_ros import messages
from gac_ros.ros_types import ros_class

REPOSITORY = Path(__file__).resolve().parents[1]
TIMEOUT = 60.0  # s; far more than anything takes on an idle machine
_DOMAINS = 101  # ROS's domains whose ports are free on every system


@contextmanager
def claimed_domain() -> Iterator[int]:
    """A ROS domain that no other test process on this machine uses, held by a file lock."""
    for offset in range(_DOMAINS):
        domain = 1 + (os.getpid() + offset) % _DOMAINS
        path = Path(tempfile.gettempdir()) / f"gac_ros_test_domain_{domain}.lock"
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("every ROS domain is in use by other tests")


@contextmanager
def own_domain(log: Path) -> Iterator[int]:
    """A claimed ROS domain, set in the environment of this process and its children.

    Args:
        log: folder of their logs.
    """
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROS_DOMAIN_ID", str(domain))
        environment.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        environment.setenv("ROS_LOG_DIR", str(log))
        for name in ("ROS_STATIC_PEERS", "ROS_LOCALHOST_ONLY", "ROS_NAMESPACE"):
            environment.delenv(name, raising=False)
        yield domain


@pytest.fixture
def ros_domain(tmp_path: Path) -> Iterator[int]:
    """A ROS domain of the test's own."""
    with own_domain(tmp_path / "ros_log") as domain:
        yield domain


class RosProcess:
    """A node in a process of its own, with its output kept."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self._output = output
        with output.open("wb") as stream:
            self.popen = subprocess.Popen(
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT
            )

    @property
    def output(self) -> str:
        """Everything it has printed so far, stdout and stderr together."""
        return self._output.read_text(encoding="utf-8", errors="replace")

    def wait(self, timeout: float = TIMEOUT) -> int:
        """Exit code, once the process ends by itself."""
        return self.popen.wait(timeout)

    def stop(self, signal_number: int = signal.SIGINT, timeout: float = TIMEOUT) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(signal_number)
        return self.wait(timeout)


def node_command(module: str, *arguments: str, **parameters: Any) -> list[str]:
    """Command line of a node; arguments as of `ros_process`."""
    command = [sys.executable, "-m", module, "--ros-args", *arguments]
    for name, value in parameters.items():
        text = str(value).lower() if isinstance(value, bool) else str(value)
        command += ["-p", f"{name}:={text}"]
    return command


def node_environment() -> dict[str, str]:
    """Environment of a node that finds this checkout's package and the tests."""
    paths = [str(REPOSITORY), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@contextmanager
def ros_process(module: str, *arguments: str, **parameters: Any) -> Iterator[RosProcess]:
    """Run `python -m module --ros-args ...`; the process has ended when the context is left.

    Args:
        module: such as `gac_ros.sim.node`.
        *arguments: further arguments after `--ros-args`, such as `"-r", "__ns:=/left"`.
        **parameters: node parameters; bools and numbers become YAML.
    """
    command = node_command(module, *arguments, **parameters)
    environment = node_environment()
    with tempfile.TemporaryDirectory() as folder:
        process = RosProcess(command, environment, Path(folder) / "output")
        try:
            yield process
        except BaseException:
            print(f"--- output of {module} ---\n{process.output}")
            raise
        finally:
            try:
                process.stop(timeout=10.0)
            except subprocess.TimeoutExpired:
                process.popen.kill()
                process.popen.wait()


class RosPeer:
    """An rclpy node in the test's process that talks to the nodes under test.

    Messages are those of `gac_ros.messages`; what arrives is appended to `received` as
    (topic, message) in the order of arrival at this node.
    """

    def __init__(self, domain: int) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        self._context = rclpy.Context()
        rclpy.init(context=self._context, domain_id=domain)
        self.node = rclpy.create_node("test_peer", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.received: list[tuple[str, Any]] = []

    def close(self) -> None:
        """Release everything."""
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()

    def subscribe(self, type_name: str, topic: str) -> None:
        """Append what comes on a topic to `received`, decoded."""

        def receive(data: bytes) -> None:
            self.received.append((topic, messages.deserialize(data, type_name)))

        # Deep enough that a busy machine loses nothing that a test counts.
        self.node.create_subscription(ros_class(type_name), topic, receive, 1000, raw=True)

    def publisher(self, type_name: str, topic: str) -> Callable[[Any], None]:
        """A function that publishes a message of `gac_ros.messages`."""
        publisher = self.node.create_publisher(ros_class(type_name), topic, 10)
        return lambda message: publisher.publish(messages.serialize(message))

    def of(self, topic: str) -> list[Any]:
        """Messages received on a topic so far."""
        return [message for where, message in self.received if where == topic]

    def spin_until(self, condition: Callable[[], Any], timeout: float = TIMEOUT) -> None:
        """Handle callbacks until the condition holds; fails the test when it never does."""
        deadline = self.node.get_clock().now().nanoseconds + timeout * 1e9
        while not condition():
            if self.node.get_clock().now().nanoseconds > deadline:
                pytest.fail(f"nothing came within {timeout:g} s")
            self._executor.spin_once(timeout_sec=0.1)

    def call(self, service_class: Any, name: str, request: Any = None) -> Any:
        """Response of a service, once it is there."""
        from gac_ros.evaluation.over_ros.greeting import Greeting

        client = self.node.create_client(service_class, name)
        greeting = Greeting(self.node, name.rpartition("/")[0])
        try:
            self.spin_until(client.service_is_ready)
            self.spin_until(greeting.answered)
            future = client.call_async(request or service_class.Request())
            self.spin_until(future.done)
            return future.result()
        finally:
            greeting.close()
            self.node.destroy_client(client)

    def set_parameter(self, node: str, name: str, value: Any) -> Any:
        """Set a node's parameter; returns rcl_interfaces' SetParametersResult."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        return self.call(SetParameters, f"{node}/set_parameters", request).results[0]

    def publishers_of(self, topic: str) -> int:
        """How many publishers of a topic this node knows of."""
        return int(self.node.count_publishers(topic))


@pytest.fixture
def ros_peer(ros_domain: int) -> Iterator[RosPeer]:
    """A peer in the test's own ROS domain."""
    peer = RosPeer(ros_domain)
    yield peer
    peer.close()
