"""Makes sure that a node's answers arrive before it is asked for anything that counts."""

from __future__ import annotations

import time
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node

# How long an answer may take before the greeting is repeated, in seconds.
_PATIENCE = 0.5


class Greeting:
    """Asks a node for no parameters, again and again until it answers.

    A service consists of two topics. A node may have matched the one that brings a request and not
    yet the other that takes the answer back; then the answer is lost although `service_is_ready`
    said yes (https://github.com/ros2/rmw_fastrtps/issues/842). Repeating the request itself would
    repeat what it does. A node hears of another's subscriptions in the order of their creation:
    once it has answered the greeting, the answers to all clients created before arrive as well.

    Args:
        node: whose clients are to be answered, all of them created.
        name: of the node that answers, as clients name its services; for ``robot/sim/reset_world``
            it is ``robot/sim``.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node = node
        self._client = node.create_client(GetParameters, f"{name}/get_parameters")
        self._answers: list[Any] = []
        self._again = 0.0

    def answered(self) -> bool:
        """Whether the node has answered; to be asked again between spins of the own node."""
        if any(answer.done() for answer in self._answers):
            return True
        now = time.monotonic()
        if now >= self._again and self._client.service_is_ready():
            self._answers.append(self._client.call_async(GetParameters.Request()))
            self._again = now + _PATIENCE
        return False

    def close(self) -> None:
        """Destroy the client."""
        self._node.destroy_client(self._client)
