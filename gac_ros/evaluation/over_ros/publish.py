"""Play a bag's inputs to a live controller, in their recorded timing."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from gac_ros.buffer.reader import RecordedMessage, read_messages, read_metadata
from gac_ros.embodiment import embodiment_from_dict
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import TransportError

# Reliable publishers also reach best-effort subscriptions.
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_POLL = 0.02
# Longest wait for the last messages to be confirmed, in seconds.
_CONFIRMATION = 5.0


def publish_inputs(bag: Path, rate: float = 1.0, *, patience: float = 10.0) -> int:
    """Publish the messages that the controller consumed, on the topics of the recording.

    The controller acts on them if an episode was started (`~/start_episode`).

    Args:
        bag: an episode's bag.
        rate: speed; 1 is that of the recording.
        patience: seconds to wait for a subscriber of every observation topic.

    Returns:
        Number of messages.

    Raises:
        EpisodeError: the bag is damaged.
        TransportError: nobody listens.
    """
    metadata = read_metadata(bag)
    inputs = recorded_inputs(bag, metadata)
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("gac_replay", context=context, start_parameter_services=False)
    try:
        publishers = {
            message.topic: node.create_publisher(_ros_class(message.type), message.topic, _QOS)
            for message in inputs
        }
        observed = _observed_topics(metadata, bag)
        _wait_for_subscribers({topic: publishers[topic] for topic in observed}, patience)
        _play(inputs, publishers, rate)
    finally:
        node.destroy_node()
        context.try_shutdown()
    return len(inputs)


def recorded_inputs(bag: Path, metadata: EpisodeMetadata) -> list[RecordedMessage]:
    """The messages of a bag that a controller consumes: observations, rewards, the end."""
    embodiment = embodiment_from_dict(metadata.embodiment, origin=str(bag))
    roles = [channel.topic for channel in embodiment.observation]
    roles += [embodiment.episode_return.topic or "", embodiment.episode_end_topic or ""]
    topics = {metadata.topics[role] for role in roles if role in metadata.topics}
    return [message for message in read_messages(bag) if message.topic in topics]


def _observed_topics(metadata: EpisodeMetadata, bag: Path) -> set[str]:
    embodiment = embodiment_from_dict(metadata.embodiment, origin=str(bag))
    return {metadata.topics[channel.topic] for channel in embodiment.observation}


def _wait_for_subscribers(publishers: dict[str, Any], patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        silent = [topic for topic, p in publishers.items() if p.get_subscription_count() == 0]
        if not silent:
            return
        if time.monotonic() > deadline:
            raise TransportError(
                f"nobody listens on {', '.join(silent)}; start the controller, on the same "
                "ROS_DOMAIN_ID, or give it more time"
            )
        time.sleep(_POLL)


def _play(inputs: list[RecordedMessage], publishers: dict[str, Any], rate: float) -> None:
    start = time.monotonic()
    for message in inputs:
        due = start + (message.stamp - inputs[0].stamp) * 1e-9 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        publishers[message.topic].publish(message.data)
    for publisher in publishers.values():
        # Until the last ones are confirmed: the node is gone a moment later.
        publisher.wait_for_all_acked(Duration(seconds=_CONFIRMATION))


def _ros_class(type_name: str) -> Any:
    """The rclpy class of a message type such as `nav_msgs/msg/Odometry`."""
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)
