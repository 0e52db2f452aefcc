"""The publishers of a robot's observation topics, and the faults made of them on purpose."""

from __future__ import annotations

import math
from typing import Any

from gac_ros import messages
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.ros_types import ros_class
from gac_ros.sim.injection import Injector, parse_injection

_FAULT_PERIOD = 0.01  # s; how soon a killed publisher is back


class Observers:
    """Publishes observations through a node.

    Args:
        node: that has the publishers.
        embodiment: of the robot.
        qos: of the publishers.
        faulty: whether faults may be made.
    """

    def __init__(self, node: Any, embodiment: Embodiment, qos: Any, *, faulty: bool) -> None:
        self._node = node
        self._embodiment = embodiment
        self._qos = qos
        self._injector = Injector(embodiment) if faulty else None
        self._publishers: dict[str, Any] = {}
        for channel in embodiment.observation:
            self._open(channel.topic, channel.type)

    def publish(self, messages_by_topic: dict[str, Any], now: float) -> None:
        """Publish a message on every topic, or what a fault makes of it; `now` in seconds."""
        for topic, message in messages_by_topic.items():
            if self._injector is None:
                self._publishers[topic].publish(messages.serialize(message))
                continue
            for data in self._injector.send(topic, message, now):
                self._publishers[topic].publish(data)

    def unheard(self) -> list[str]:
        """The topics that nobody subscribes to."""
        publishers = self._publishers.values()
        return [each.topic_name for each in publishers if each.get_subscription_count() == 0]

    def check_fault(self, text: str) -> None:
        """Say whether a fault could be made.

        Raises:
            ConfigurationError: it is none, or none may be made.
        """
        if self._injector is None:
            raise ConfigurationError(
                "inject_fault: fault injection is off; start the node with fault_injection:=true"
            )
        parse_injection(text, self._embodiment)

    def make_fault(self, text: str, now: float) -> int:
        """Begin a fault that was checked; returns by how many nanoseconds the clock has jumped."""
        assert self._injector is not None
        self._injector.apply(parse_injection(text, self._embodiment), now)
        self._kill_and_restart(self._injector, now)
        return self._injector.clock_offset

    def stalled(self, now: float) -> float:
        """For how many seconds the robot still stands still."""
        return 0.0 if self._injector is None else max(0.0, self._injector.stalled_until - now)

    def work(self, now: float) -> float:
        """Send delayed messages, kill and restart publishers; returns the seconds until more."""
        injector = self._injector
        if injector is None:
            return math.inf
        self._kill_and_restart(injector, now)
        for topic, data in injector.due(now):
            if topic in self._publishers:
                self._publishers[topic].publish(data)
        return max(0.0, min(injector.next_due() - now, _FAULT_PERIOD))

    def _kill_and_restart(self, injector: Injector, now: float) -> None:
        killed = injector.killed(now)
        for channel in self._embodiment.observation:
            if channel.topic not in killed and channel.topic not in self._publishers:
                self._open(channel.topic, channel.type)
            elif channel.topic in killed and channel.topic in self._publishers:
                self._node.destroy_publisher(self._publishers.pop(channel.topic))

    def _open(self, topic: str, kind: str) -> None:
        self._publishers[topic] = self._node.create_publisher(ros_class(kind), topic, self._qos)
