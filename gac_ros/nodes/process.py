"""Runs the controller's node in a process: start, spin, orderly stop, exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import rclpy
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.signals import SignalHandlerOptions

from gac_ros.errors import ConfigurationError, GacError
from gac_ros.nodes.node import GacController
from gac_ros.nodes.signals import StopRequest

# Without a limit the events executor of rclpy 7.1 spins instead of waiting: its deadline overflows
# the clock. Seconds.
_LONGEST_WAIT = 1.0
# How long another thread may keep the interpreter from the control loop; Python's own 5 ms are more
# than a control period of 200 Hz. Seconds.
_SWITCH_INTERVAL = 1e-4


def run(arguments: list[str], stop: StopRequest) -> int:
    """Run the node until a stop is requested.

    Returns:
        0 after an orderly stop, 1 after a defect, 2 after a user's mistake.
    """
    try:
        _initialize(arguments)
        try:
            _run_node(stop)
        finally:
            rclpy.try_shutdown()
    except GacError as error:
        print(f"controller: error: {error}", file=sys.stderr)
        return error.exit_code
    except Exception:
        traceback.print_exc()
        return 1
    return 0


def _initialize(arguments: list[str]) -> None:
    try:
        # rclpy's own handlers would shut the context down before the safe action is out.
        rclpy.init(args=["controller", *arguments], signal_handler_options=SignalHandlerOptions.NO)
    except rclpy_implementation.RCLError as error:
        raise ConfigurationError(f"ROS does not start: {_one_line(error)}") from error


def _run_node(stop: StopRequest) -> None:
    try:
        node = GacController()
    except InvalidParameterTypeException as error:
        raise ConfigurationError(f"{_one_line(error)}; write floats as 1.0, texts as ''") from error
    except ParameterException as error:
        raise ConfigurationError(_one_line(error)) from error
    sys.setswitchinterval(_SWITCH_INTERVAL)
    executor = _make_executor()
    executor.add_node(node)
    try:
        if node.get_parameter("autostart").value and not stop.event.is_set():
            node.start()
        stop.on_stop(lambda: node.inbox.post(lambda: None))  # only to wake the executor
        while not stop.event.is_set():
            executor.spin_once(timeout_sec=_LONGEST_WAIT)
            node.inbox.raise_failure()
    finally:
        stop.on_stop(None)
        node.stop()
        executor.shutdown()
        node.destroy_node()


def _make_executor() -> Any:
    """An executor that learns of a message from DDS itself.

    The ordinary one asks every entity of the node anew for each message, which takes longer than
    deciding does.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError as error:
        raise ConfigurationError(
            "this rclpy has no events executor; update ROS 2 Jazzy (rclpy 7.1.4 or newer)"
        ) from error
    return EventsExecutor()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
