"""The controller's private services, and a guard for its lifecycle service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.impl.implementation_singleton import rclpy_implementation
from std_srvs.srv import SetBool, Trigger

from gac_ros.nodes.driver import EpisodeDriver
from gac_ros.nodes.parameters import read_request
from gac_ros.nodes.states import Reply


class EpisodeServices:
    """`~/start_episode`, `~/end_episode` and `~/discard_episode`; answers while active only."""

    def __init__(self, node: Any, driver: EpisodeDriver, active: Callable[[], bool]) -> None:
        self._node = node
        self._driver = driver
        self._active = active
        self._services = [
            node.create_service(Trigger, "~/start_episode", self._start),
            node.create_service(SetBool, "~/end_episode", self._end),
            node.create_service(Trigger, "~/discard_episode", self._discard),
        ]

    def close(self) -> None:
        """Destroy the services."""
        for service in self._services:
            self._node.destroy_service(service)

    def _start(self, _: Any, response: Any) -> Any:
        return self._answer(response, lambda: self._driver.start(read_request(self._node)))

    def _end(self, request: Any, response: Any) -> Any:
        return self._answer(response, lambda: self._driver.end(success=request.data))

    def _discard(self, _: Any, response: Any) -> Any:
        return self._answer(response, self._driver.discard)

    def _answer(self, response: Any, action: Callable[[], Reply]) -> Any:
        inactive = Reply(False, "the controller is not active; activate it first")
        reply = action() if self._active() else inactive
        response.success, response.message = reply.accepted, reply.message
        return response


def refuse_impossible_transitions(node: Any) -> None:
    """Let a request for a transition that the state does not have fail, not end the node.

    rclpy raises out of the service's callback there, which nobody catches, and the client would
    wait for its answer for ever.
    """
    for service in node.services:
        if service.srv_type is ChangeState:
            service.callback = _failing_softly(node, service.callback)


def _failing_softly(node: Any, callback: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def change_state(request: Any, response: Any) -> Any:
        try:
            return callback(request, response)
        except rclpy_implementation.RCLError:
            name = request.transition.label or request.transition.id
            node.get_logger().error(f"transition '{name}' is not possible in this state")
            response.success = False
            return response

    return change_state
