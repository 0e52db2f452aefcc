"""The controller's topics: raw bytes in, raw bytes out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

from gac_ros.buffer.reader import DECISION, FAULT, PLAN
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.messages import FLOAT64, FLOAT64_MULTI_ARRAY, STRING
from gac_ros.ros_types import ros_class

_COMMAND_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE
)
# Deep: a lost reward falsifies the return, and they are small.
_REWARD_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST, depth=1000, reliability=ReliabilityPolicy.RELIABLE
)
_LATCHED_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


# Deep enough that whoever comes late, or is slow, still learns how a fault came about.
_FAULT_QOS = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=100,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


class Listener(Protocol):
    """Whoever hears the robot."""

    def observe(self, topic: str, data: bytes) -> None:
        """A message of the observation topic (named as in the embodiment)."""

    def reward(self, data: bytes) -> None:
        """A message of the reward topic."""

    def episode_end(self, data: bytes) -> None:
        """A message of the episode's end."""


class Link:
    """Owns the publishers and subscriptions of one robot from configure to cleanup.

    Attributes:
        topics: embodiment topic, or the role `plan`, `decision` or `fault`, to resolved topic name.
        types: resolved topic name to message type.
    """

    def __init__(self, node: Any, embodiment: Embodiment, *, lock_step: bool) -> None:
        self._node = node
        self._embodiment = embodiment
        self._lock_step = lock_step
        self._subscriptions: list[Any] = []
        self._publishers: list[Any] = []
        self.topics: dict[str, str] = {}
        self.types: dict[str, str] = {}
        action = embodiment.action
        try:
            self._command = self._publisher(action.topic, action.topic, action.type.value)
            self._decision = self._publisher(DECISION, "~/decision", FLOAT64_MULTI_ARRAY)
            self._plan = self._publisher(PLAN, "~/plan", STRING, _LATCHED_QOS)
            self._fault = self._publisher(FAULT, "~/fault", STRING, _FAULT_QOS)
            self._episode = self._publisher(None, "~/episode", STRING, _LATCHED_QOS)
        except BaseException:
            self.close()
            raise

    def listen(self, listener: Listener) -> None:
        """Subscribe.

        Within a round the executor serves subscriptions in the order of their creation, so the
        rewards and the end of an episode come before the observations.
        """
        reward = self._embodiment.episode_return.topic
        if reward is not None:
            self._subscribe(reward, FLOAT64, listener.reward, _REWARD_QOS)
        end = self._embodiment.episode_end_topic
        if end is not None:
            self._subscribe(end, STRING, listener.episode_end, _COMMAND_QOS)
        qos = _COMMAND_QOS if self._lock_step else qos_profile_sensor_data
        for channel in self._embodiment.observation:
            callback = partial(listener.observe, channel.topic)
            self._subscribe(channel.topic, channel.type, callback, qos)

    def send_command(self, data: bytes) -> None:
        """Publish a command."""
        self._command.publish(data)

    def send_decision(self, data: bytes) -> None:
        """Publish what is known of the command just sent."""
        self._decision.publish(data)

    def send_plan(self, data: bytes) -> None:
        """Publish an episode's plan."""
        self._plan.publish(data)

    def send_fault(self, data: bytes) -> None:
        """Publish that a fault began or ended."""
        self._fault.publish(data)

    def send_episode(self, data: bytes) -> None:
        """Publish the episode's state."""
        self._episode.publish(data)

    def close(self) -> None:
        """Destroy the publishers and subscriptions."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _publisher(
        self, role: str | None, name: str, kind: str, qos: QoSProfile = _COMMAND_QOS
    ) -> Any:
        publisher = self._node.create_lifecycle_publisher(
            ros_class(kind), name, qos, qos_overriding_options=_overridable()
        )
        self._publishers.append(publisher)
        if role is not None:
            self._note(role, publisher.topic_name, kind)
        return publisher

    def _subscribe(
        self, topic: str, kind: str, callback: Callable[[bytes], None], qos: QoSProfile
    ) -> None:
        subscription = self._node.create_subscription(
            ros_class(kind), topic, callback, qos, raw=True, qos_overriding_options=_overridable()
        )
        self._subscriptions.append(subscription)
        self._note(topic, subscription.topic_name, kind)

    def _note(self, role: str, resolved: str, kind: str) -> None:
        if resolved in self.types:
            raise ConfigurationError(
                f"'{role}' is remapped to {resolved}, which another topic of the controller has "
                "already; give each its own name"
            )
        self.topics[role] = resolved
        self.types[resolved] = kind


def _overridable() -> QoSOverridingOptions:
    return QoSOverridingOptions.with_default_policies()
