"""Parameters of the simulator's node."""

from __future__ import annotations

from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

_USAGE = """\
usage: ros2 run gac_ros sim --ros-args [-p NAME:=VALUE ...] [-r __ns:=/NAMESPACE]

A simulated robot as a ROS 2 node. Parameters:
"""


def parameters() -> dict[str, tuple[Any, ParameterDescriptor]]:
    """Default value and descriptor of every parameter, by name."""

    def described(value: Any, description: str, **keys: Any) -> tuple[Any, ParameterDescriptor]:
        return value, ParameterDescriptor(description=description, **keys)

    def fixed(value: Any, description: str) -> tuple[Any, ParameterDescriptor]:
        return described(value, description, read_only=True)

    def floats(low: float, high: float) -> list[FloatingPointRange]:
        return [FloatingPointRange(from_value=low, to_value=high)]

    return {
        "robot": fixed("pointmaze_umaze", "packaged robot, or path of an embodiment file (*.yaml)"),
        "mjcf": fixed("", "path of an MJCF file to simulate; empty for the packaged physics"),
        "lock_step": fixed(False, "wait for one command after each observation"),
        "headless": fixed(True, "false opens a viewer window, where there is a display"),
        "start_paused": fixed(False, "wait for ~/set_pause before anything is published"),
        "wait_for_command": fixed(
            True, "stay in the start state until an episode's first command (real time only)"
        ),
        "publish_clock": fixed(
            True, "publish /clock; of several robots in one ROS domain only one may"
        ),
        "disturbance.kind": fixed(
            "", "push or teleport: what happens once an episode; empty: nothing"
        ),
        "disturbance.step": fixed(0, "step of the episode before which it happens"),
        "disturbance.speed": fixed(1.0, "change of the root's velocity by a push, m/s"),
        "fault_injection": fixed(False, "allow faults to be made on purpose; for tests only"),
        "inject_fault": described(
            "",
            'a fault to make, as JSON: {"kind": ..., "topic": ..., "seconds": ..., "count": ...}; '
            "empty: all is well again (see docs/safety.md)",
        ),
        "auto_reset": described(False, "start the next episode as soon as one has ended"),
        "real_time_factor": described(
            1.0,
            "simulated seconds per second of wall-clock time (not in lock-step)",
            floating_point_range=floats(0.01, 1000.0),
        ),
        "command_timeout": described(
            0.5,
            "simulated seconds after the last command until the safe action; 0.0 disables "
            "(not in lock-step)",
            floating_point_range=floats(0.0, 3600.0),
        ),
        "seed": described(
            -1,
            "seed of the next reset; -1 counts on from the last one, first 0",
            integer_range=[IntegerRange(from_value=-1, to_value=2**63 - 1)],
        ),
    }


def usage() -> str:
    """What `--help` prints."""
    lines = [
        f"  {name} (default {default!r}): {descriptor.description}"
        for name, (default, descriptor) in parameters().items()
    ]
    return _USAGE + "\n".join(lines)
