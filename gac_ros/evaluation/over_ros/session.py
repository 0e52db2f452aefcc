"""Starts a simulator and a controller as processes of their own, and ends them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rclpy.context import Context
from rclpy.node import Node

from gac_ros.embodiment import find_embodiment
from gac_ros.errors import OutputError
from gac_ros.evaluation.over_ros.runner import CONTROLLER, SIMULATOR, Deadlines, EpisodeRunner
from gac_ros.evaluation.processes import (
    ChildProcess,
    child_environment,
    reserved_domain,
    ros_environment,
)
from gac_ros.replanning.config import ReplanningConfig


@dataclass(frozen=True)
class SessionRequest:
    """Which processes to start.

    Attributes:
        robot: packaged name or path of an embodiment file.
        checkpoint: directory.
        mode: how plans are made.
        deployment: folder that says which checkpoint acts, in place of `checkpoint`.
        replanning: when they are made again during an episode; None is never.
        device: where the model runs.
        logs: folder for the logs and the parameters of the two processes.
        episodes: buffer directory that receives the bags; None records nothing.
        mjcf: physics, for a robot that is not packaged.
        real_time_factor: simulated seconds a second; None runs in lock-step.
    """

    robot: str
    checkpoint: Path
    mode: str
    device: str
    logs: Path
    episodes: Path | None
    mjcf: Path | None = None
    real_time_factor: float | None = None
    replanning: ReplanningConfig | None = None
    deployment: Path | None = None


@contextmanager
def open_session(
    request: SessionRequest, deadlines: Deadlines | None = None
) -> Iterator[EpisodeRunner]:
    """Start simulator and controller, and end them whatever happens.

    Raises:
        TransportError: a process ended early or does not answer.
        OutputError: the logs cannot be written.
    """
    embodiment = find_embodiment(request.robot)
    with ExitStack() as stack:
        domain = stack.enter_context(reserved_domain())
        ros = ros_environment(domain, request.logs)
        children = _start_children(request, child_environment(ros), stack)
        node = stack.enter_context(client_node(domain, ros))

        def require_running() -> None:
            for child in children:
                child.require_running()

        runner = EpisodeRunner(
            node,
            embodiment,
            deadlines=deadlines,
            real_time_factor=request.real_time_factor,
            require_running=require_running,
            describe=lambda: "; ".join(f"{child.name}: {child.last_words()}" for child in children),
        )
        stack.callback(runner.close)
        runner.connect()
        yield runner


def _start_children(
    request: SessionRequest, env: dict[str, str], stack: ExitStack
) -> list[ChildProcess]:
    """Start both; the stack interrupts both and then waits for their ends."""
    children: list[ChildProcess] = []
    for name, module, node, parameters in (
        ("simulator", "gac_ros.sim.node", SIMULATOR, _simulator_parameters(request)),
        ("controller", "gac_ros.nodes.controller", CONTROLLER, _controller_parameters(request)),
    ):
        file = write_parameters(request.logs / f"{name}.yaml", node, parameters)
        arguments = ["--ros-args", "--params-file", str(file)]
        child = ChildProcess(name, module, arguments, request.logs / f"{name}.log", env)
        stack.callback(child.end)
        children.append(child)
    for child in children:
        stack.callback(child.interrupt)
    return children


def _simulator_parameters(request: SessionRequest) -> dict[str, Any]:
    parameters: dict[str, Any] = {
        "robot": _absolute_robot(request.robot),
        "start_paused": True,
        "lock_step": request.real_time_factor is None,
    }
    if request.mjcf is not None:
        parameters["mjcf"] = str(request.mjcf.absolute())
    if request.real_time_factor is not None:
        parameters["real_time_factor"] = float(request.real_time_factor)
    return parameters


def _controller_parameters(request: SessionRequest) -> dict[str, Any]:
    record: dict[str, Any] = {"enabled": request.episodes is not None}
    if request.episodes is not None:
        record["directory"] = str(request.episodes.absolute())
    return {
        "robot": _absolute_robot(request.robot),
        **_policy_parameters(request),
        "mode": request.mode,
        "replanning": (request.replanning or ReplanningConfig()).model_dump(),
        "device": request.device,
        "lock_step": request.real_time_factor is None,
        "autostart": True,
        "record": record,
    }


def _policy_parameters(request: SessionRequest) -> dict[str, str]:
    if request.deployment is not None:
        return {"deployment": str(request.deployment.absolute())}
    return {"checkpoint": str(request.checkpoint.absolute())}


def _absolute_robot(robot: str) -> str:
    return str(Path(robot).absolute()) if robot.endswith((".yaml", ".yml")) else robot


def write_parameters(path: Path, node: str, parameters: dict[str, Any]) -> Path:
    """A ROS parameter file; unlike arguments, its values keep their type whatever they hold."""
    content = {f"/{node}": {"ros__parameters": parameters}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written ({error.strerror or error}); choose another --out"
        ) from error
    return path


@contextmanager
def client_node(domain: str | None, ros: dict[str, str]) -> Iterator[Node]:
    """A node on the children's domain. It leaves signals to Python."""
    context = Context()
    with _environment(ros):
        context.init(domain_id=None if domain is None else int(domain))
        node = Node("episode_runner", context=context, start_parameter_services=False)
    try:
        yield node
    finally:
        # A signal may have shut the context down already.
        with suppress(Exception):
            node.destroy_node()
        context.try_shutdown()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which ROS reads when a context is made, for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
