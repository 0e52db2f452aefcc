"""Play a bag on its topics, in its timing: the inputs to a live controller, or what is named."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rclpy
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from gac_ros.buffer.reader import RecordedMessage, read_messages, read_metadata
from gac_ros.embodiment import embodiment_from_dict
from gac_ros.episode import EpisodeMetadata
from gac_ros.errors import ConfigurationError, EpisodeError, TransportError
from gac_ros.ros_types import ros_class

# Reliable publishers also reach best-effort subscriptions.
_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_POLL = 0.02
# A subscriber that a publisher knows of may not know of the publisher yet, and misses what is sent
# until it does; it does not tell when. In seconds.
_MATCHING = 0.5
# Longest wait for the last messages to be confirmed, in seconds.
_CONFIRMATION = 5.0


@dataclass(frozen=True)
class Playback:
    """How a bag is played.

    Attributes:
        rate: speed; 1 is that of the recording.
        topics: as recorded; when empty, what a controller consumes.
        qos: profiles that replace reliable, the last 10; by topic.
        patience: seconds to wait for somebody to listen to every topic that is observed, or, when
            topics are named, to each of them; None does not wait.
    """

    rate: float = 1.0
    topics: tuple[str, ...] = ()
    qos: Mapping[str, QoSProfile] = field(default_factory=dict)
    patience: float | None = 10.0


def publish_bag(bag: Path, how: Playback) -> int:
    """Publish messages of a bag on the topics of the recording, in its timing.

    A controller acts on them if an episode was started (`~/start_episode`).

    Args:
        bag: an episode's bag.
        how: what of it, and how.

    Returns:
        Number of messages.

    Raises:
        EpisodeError: the bag is damaged, or has no such topic.
        ConfigurationError: a profile is for a topic that is not played, or the robot's commands
            would be: without its limits, and beside whoever commands it.
        TransportError: nobody listens.
    """
    metadata = read_metadata(bag)
    inputs = _of_topics(bag, how.topics) if how.topics else recorded_inputs(bag, metadata)
    played = {message.topic for message in inputs}
    _refuse_commands(bag, metadata, played)
    unused = sorted(set(how.qos) - played)
    if unused:
        raise ConfigurationError(
            f"a quality of service is given for {unused[0]}, which is not played; played are "
            f"{', '.join(sorted(played))}"
        )
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("gac_replay", context=context, start_parameter_services=False)
    try:
        publishers = {
            message.topic: node.create_publisher(
                ros_class(message.type), message.topic, how.qos.get(message.topic, _QOS)
            )
            for message in {message.topic: message for message in inputs}.values()
        }
        if how.patience is not None:
            waited = set(how.topics) or _observed_topics(metadata, bag)
            wait_for_subscribers({topic: publishers[topic] for topic in waited}, how.patience)
        _play(inputs, publishers, how.rate)
    finally:
        node.destroy_node()
        context.try_shutdown()
    return len(inputs)


def _of_topics(bag: Path, topics: tuple[str, ...]) -> list[RecordedMessage]:
    found = list(read_messages(bag))
    recorded = sorted({message.topic for message in found})
    for topic in topics:
        if topic not in recorded:
            raise EpisodeError(f"{bag}: no message on {topic}; it has {', '.join(recorded)}")
    return [message for message in found if message.topic in topics]


def _refuse_commands(bag: Path, metadata: EpisodeMetadata, played: set[str]) -> None:
    embodiment = embodiment_from_dict(metadata.embodiment, origin=str(bag))
    commands = metadata.topics[embodiment.action.topic]
    if commands in played:
        raise ConfigurationError(
            f"{commands} commands the robot; use --to-robot, which keeps to its limits, asks "
            "before it moves and ends in the safe action"
        )


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


def wait_for_subscribers(publishers: dict[str, Any], patience: float) -> None:
    """Wait until somebody listens to each topic.

    Raises:
        TransportError: nobody does within `patience` seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        silent = [topic for topic, p in publishers.items() if p.get_subscription_count() == 0]
        if not silent:
            time.sleep(_MATCHING)
            return
        if time.monotonic() > deadline:
            raise TransportError(
                f"nobody listens on {', '.join(silent)}; start whoever should, on the same "
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
