"""A node that only echoes: what rclpy and DDS cost without a controller. Run as a process.

`python -m gac_ros.bench.over_ros.echo PREFIX (decoded|raw)`

It hears PREFIX/joint_states and answers on PREFIX/commands, with the message types and the QoS of
the controller. `decoded` is the ordinary rclpy node: decoded messages and the ordinary executor.
`raw` is the quickest that rclpy allows: bytes in, the same bytes out at each message, and the
events executor.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.experimental import EventsExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

from gac_ros import messages
from gac_ros.bench.over_ros.topics import COMMANDS, STATE

COMMAND_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_NUMBERS = 3
_LONGEST_WAIT = 1.0  # s


def main(arguments: list[str]) -> None:
    """Echo until a signal."""
    prefix, kind = arguments
    rclpy.init()
    node = Node("echo", namespace=prefix, start_parameter_services=False)
    publisher = node.create_publisher(Float64MultiArray, COMMANDS, COMMAND_QOS)
    answer = messages.serialize(messages.float64_multi_array(np.zeros(_NUMBERS)))

    def decoded(message: Any) -> None:
        publisher.publish(Float64MultiArray(data=message.position[:_NUMBERS]))

    raw = kind == "raw"
    callback = (lambda _: publisher.publish(answer)) if raw else decoded
    node.create_subscription(JointState, STATE, callback, qos_profile_sensor_data, raw=raw)
    executor = EventsExecutor() if raw else SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=_LONGEST_WAIT)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
