"""Tests of the greeting that comes before requests that count."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rclpy
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from gac_ros.evaluation.over_ros.greeting import Greeting
from tests.ros_support import RosPeer


@pytest.fixture
def robot(ros_domain: int) -> Iterator[tuple[Node, SingleThreadedExecutor]]:
    """A node without parameter services, in a context of its own, and what spins it."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=ros_domain)
    node = rclpy.create_node("robot", context=context, start_parameter_services=False)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def greeted(
    peer: RosPeer, robot: tuple[Node, SingleThreadedExecutor], *, lose_the_first: bool
) -> tuple[Greeting, list[Any], Callable[[], bool]]:
    """A greeting, the requests that reach the robot, and what spins the robot once."""
    node, executor = robot
    requests: list[Any] = []

    def answer(request: Any, response: Any) -> Any:
        requests.append(request)
        if lose_the_first and len(requests) == 1:
            raise InterruptedError  # rclpy sends no answer then
        return response

    service = node.create_service(GetParameters, "robot/get_parameters", answer)
    greeting = Greeting(peer.node, "robot")
    peer.spin_until(lambda: peer.node.count_services(service.srv_name))

    def answered() -> bool:
        try:
            executor.spin_once(timeout_sec=0.01)
        except InterruptedError:
            assert not greeting.answered()
        return greeting.answered()

    return greeting, requests, answered


def test_a_greeting_whose_answer_is_lost_is_repeated(
    ros_peer: RosPeer, robot: tuple[Node, SingleThreadedExecutor]
) -> None:
    greeting, requests, answered = greeted(ros_peer, robot, lose_the_first=True)
    ros_peer.spin_until(answered)
    assert len(requests) == 2
    assert not any(request.names for request in requests)
    greeting.close()


def test_a_node_that_is_there_but_does_not_spin_has_not_answered(
    ros_peer: RosPeer, robot: tuple[Node, SingleThreadedExecutor]
) -> None:
    greeting, requests, answered = greeted(ros_peer, robot, lose_the_first=False)
    for _ in range(5):
        assert not greeting.answered()
    assert not requests
    ros_peer.spin_until(answered)
    greeting.close()
