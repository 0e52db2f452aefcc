"""Send the commands of a recorded episode straight to a robot, within its limits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.embodiment import Embodiment
from gac_ros.errors import TransportError
from gac_ros.evaluation.commands import CommandPlayer, RecordedCommands
from gac_ros.evaluation.over_ros.publish import wait_for_subscribers
from gac_ros.ros_types import ros_class

_COMMANDS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Longest wait for the last command to be confirmed, in seconds.
_CONFIRMATION = 5.0
# How often it is checked that nobody else commands the robot, in seconds.
_WATCH = 0.5


@dataclass(frozen=True)
class DriveReport:
    """What was sent.

    Attributes:
        commands: sent, without those that led to the safe action.
        limited: of these, not as recorded because of the limits.
        duration: seconds.
    """

    commands: int
    limited: int
    duration: float


def drive_robot(
    commands: RecordedCommands,
    embodiment: Embodiment,
    *,
    rate: float = 1.0,
    patience: float = 10.0,
) -> DriveReport:
    """Send an episode's commands at the control rate, then go to the safe action.

    An interruption goes to the safe action, too. Only when somebody else begins to command the
    robot nothing more is sent: two would fight over it.

    Args:
        commands: of the episode.
        embodiment: of the robot: its limits, control rate and safe action.
        rate: speed; 1 is that of the recording. The limits are those of real time all the same.
        patience: seconds to wait for somebody to listen to the command topic.

    Raises:
        TransportError: nobody listens, or somebody else commands the robot.
    """
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("gac_replay", context=context, start_parameter_services=False)
    try:
        kind = ros_class(embodiment.action.type.value)
        publisher = node.create_publisher(kind, commands.topic, _COMMANDS)
        wait_for_subscribers({commands.topic: publisher}, patience)
        drive = _Drive(node, publisher, CommandPlayer(commands, embodiment, rate), embodiment)
        drive.refuse_rivals()
        try:
            report = drive.run()
        except TransportError:
            raise
        except BaseException:
            drive.to_safety()
            raise
        drive.to_safety()
        publisher.wait_for_all_acked(Duration(seconds=_CONFIRMATION))
        return report
    finally:
        node.destroy_node()
        context.try_shutdown()


class _Drive:
    def __init__(
        self, node: Any, publisher: Any, player: CommandPlayer, embodiment: Embodiment
    ) -> None:
        self._node = node
        self._publisher = publisher
        self._player = player
        self._embodiment = embodiment
        self._due = time.monotonic()
        self._watched = self._due
        self._sent = 0

    def run(self) -> DriveReport:
        start = time.monotonic()
        while (elapsed := time.monotonic() - start) < self._player.duration:
            self._send(self._player.at(elapsed))
            if time.monotonic() - self._watched > _WATCH:
                self.refuse_rivals()
        return DriveReport(self._sent, self._player.limited, time.monotonic() - start)

    def to_safety(self) -> None:
        while (action := self._player.to_safety()) is not None:
            self._send(action)
        # Once more, should the last one not have come through.
        self._send(self._embodiment.safe_action)

    def refuse_rivals(self) -> None:
        """Refuse to command a robot that others command.

        Raises:
            TransportError: others do.
        """
        self._watched = time.monotonic()
        topic = self._publisher.topic_name
        others = self._node.count_publishers(topic) - 1
        if others > 0:
            raise TransportError(
                f"{others} others publish on {topic}: two cannot command a robot; stop them first "
                f"(ros2 topic info --verbose {topic} tells who they are)"
            )

    def _send(self, action: NDArray[np.float64]) -> None:
        """Send a command, and wait until the next one is due."""
        message = encode_action(self._embodiment, action, time.time_ns())
        self._publisher.publish(messages.serialize(message))
        self._sent += 1
        # Never two sooner than a period after each other: rate limits count periods.
        self._due = max(self._due, time.monotonic()) + self._embodiment.control_period
        time.sleep(max(0.0, self._due - time.monotonic()))
