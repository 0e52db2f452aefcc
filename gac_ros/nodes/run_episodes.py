"""Run episodes with a simulator and a controller that are running, and print their table.

`ros2 launch gac_ros controller.launch.py sim:=true` starts it beside the two. It exits with 0 when
the episodes are done.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from rich.console import Console

from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, GacError
from gac_ros.evaluation.over_ros.runner import Deadlines, EpisodeRunner
from gac_ros.evaluation.report import print_report
from gac_ros.evaluation.results import (
    EpisodeResult,
    EvaluationResult,
    RunDescription,
    prepare_folder,
    write_results,
)
from gac_ros.evaluation.seeds import episode_seed

INTERRUPTED = 130

_PARAMETERS: dict[str, tuple[Any, str]] = {
    "robot": ("pointmaze_umaze", "a packaged robot, or the path of an embodiment file (*.yaml)"),
    "episodes": (5, "how many episodes to run"),
    "seed": (0, "decides every start and every plan"),
    "out": ("", "folder for results.json, replacing an earlier one; empty writes none"),
    "timeout": (0.0, "longest wait for an episode, in seconds; 0.0 derives it from the robot"),
}
_USAGE = """\
usage: ros2 run gac_ros run_episodes --ros-args [-p NAME:=VALUE ...] [-r __ns:=/NAMESPACE]

Runs episodes with the sim and the controller of this namespace. Parameters:
"""


@dataclass(frozen=True)
class _Settings:
    robot: str
    episodes: int
    seed: int
    out: Path | None
    timeout: float | None


def main(args: list[str] | None = None) -> int:
    """Run the episodes; returns the exit code."""
    arguments = sys.argv if args is None else ["run_episodes", *args]
    others = remove_ros_args(arguments)[1:]
    if others:
        known = others[0] in ("-h", "--help")
        print(_usage() if known else f"run_episodes: error: unknown argument '{others[0]}'")
        return 0 if known else 2
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        with _node(arguments) as node:
            _run(node, _settings(node), shlex.join(arguments))
    except (GacError, ParameterException) as error:
        print(f"run_episodes: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _usage() -> str:
    lines = [
        f"  {name} (default {default!r}): {text}" for name, (default, text) in _PARAMETERS.items()
    ]
    return _USAGE + "\n".join(lines)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _node(arguments: list[str]) -> Iterator[Node]:
    # Signals stay with Python, so that waiting ends with an exception.
    rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    node = Node("run_episodes")
    try:
        for name, (default, text) in _PARAMETERS.items():
            node.declare_parameter(
                name, default, ParameterDescriptor(description=text, read_only=True)
            )
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def _settings(node: Node) -> _Settings:
    value = {name: node.get_parameter(name).value for name in _PARAMETERS}
    if value["episodes"] < 1:
        raise ConfigurationError(f"episodes is {value['episodes']}; run at least 1")
    return _Settings(
        robot=value["robot"],
        episodes=value["episodes"],
        seed=value["seed"],
        out=Path(value["out"]) if value["out"] else None,
        timeout=value["timeout"] if value["timeout"] > 0.0 else None,
    )


def _run(node: Node, settings: _Settings, command_line: str) -> None:
    if settings.out is not None:
        prepare_folder(settings.out, overwrite=True)
    runner = EpisodeRunner(
        node, find_embodiment(settings.robot), deadlines=Deadlines(episode=settings.timeout)
    )
    results: list[EpisodeResult] = []
    summary: dict[str, Any] = {}
    try:
        runner.connect()
        for index in range(settings.episodes):
            summary = runner.perform(episode_seed(settings.seed, index))
            results.append(runner.result_of(summary))
            print(_line(index, settings, results[-1]), flush=True)
    finally:
        runner.close()
    result = EvaluationResult(_describe(summary, settings, command_line), tuple(results))
    _print(result)
    if settings.out is not None:
        print(f"Results: {write_results(result, settings.out)}", flush=True)


def _line(index: int, settings: _Settings, result: EpisodeResult) -> str:
    value = "unknown" if result.episode_return is None else f"{result.episode_return:.1f}"
    return f"episode {index + 1}/{settings.episodes}: {result.length} steps, return {value}"


def _describe(summary: dict[str, Any], settings: _Settings, command_line: str) -> RunDescription:
    return RunDescription(
        robot=summary["robot"],
        policy=summary["policy"],
        mode=summary["mode"],
        checkpoint=summary["checkpoint"],
        checkpoint_digest=summary["checkpoint_digest"],
        transport="ros",
        seed=settings.seed,
        lock_step=summary["lock_step"],
        command_line=command_line,
    )


def _print(result: EvaluationResult) -> None:
    console = Console(highlight=False, markup=False)
    if "COLUMNS" not in os.environ:
        console.width = max(console.width, 100)
    print_report(result, console)


if __name__ == "__main__":
    sys.exit(main())
