"""Start the GAC controller of a robot, and, with sim:=true, a simulated robot that runs episodes.

    ros2 launch gac_ros controller.launch.py robot:=pointmaze_umaze sim:=true

With sim:=true and episodes above 0 a third process drives the episodes, reports them as `gac demo`
does, and ends the launch; `ros2 launch` then exits with 0 if all went well.

An argument that is left empty leaves the choice to params_file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

SWITCH = ["true", "false"]
OPTIONAL_SWITCH = ["", *SWITCH]


def generate_launch_description() -> LaunchDescription:
    parameters = Path(get_package_share_directory("gac_ros"), "config", "controller.yaml")

    def argument(
        name: str, default: str, text: str, choices: list[str] | None = None
    ) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)

    return LaunchDescription(
        [
            argument("robot", "pointmaze_umaze", "a packaged robot, or an embodiment file"),
            argument("checkpoint", "", "checkpoint folder; empty: the one packaged for the robot"),
            argument("mode", "", "how plans are made: exploit, explore or posterior"),
            argument("device", "", "where the model runs: auto, cpu, cuda or cuda:N"),
            argument(
                "out",
                "",
                "folder for what the run leaves: the bags in OUT/episodes and, of episodes that "
                "the launch drives, results.json",
            ),
            argument("params_file", str(parameters), "parameters of the controller"),
            argument("autostart", "true", "the controller configures and activates itself", SWITCH),
            argument("namespace", "", "namespace of all nodes"),
            argument("use_sim_time", "false", "the controller's clock is /clock", SWITCH),
            argument("use_respawn", "false", "start a node again that died", SWITCH),
            argument("log_level", "info", "debug, info, warn, error or fatal"),
            argument("sim", "false", "also start a simulated robot", SWITCH),
            argument("mjcf", "", "with sim:=true, the physics of a robot that is not packaged"),
            argument("headless", "true", "with sim:=true, open no viewer window", SWITCH),
            argument(
                "episodes",
                "5",
                "with sim:=true, episodes to drive before the launch ends; 0: only start the nodes",
            ),
            argument("seed", "0", "decides every start and every plan of these episodes"),
            argument(
                "lock_step",
                "",
                "with sim:=true, the simulator waits for each action instead of running in real "
                "time; empty: true when the launch drives the episodes",
                OPTIONAL_SWITCH,
            ),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the launch arguments ask for."""

    def text(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def switch(name: str) -> bool:
        return text(name) == "true"

    def number(name: str) -> int:
        if not text(name).isdecimal():
            raise RuntimeError(f"{name}:={text(name)} is not a whole number from 0")
        return int(text(name))

    def typed(parameters: dict[str, Any]) -> dict[str, Any]:
        # Else a folder named 2026 would arrive as a number.
        return {
            name: ParameterValue(value, value_type=type(value))
            for name, value in parameters.items()
        }

    def node(name: str, executable: str, *parameters: Any, **options: Any) -> Node:
        return Node(
            package="gac_ros",
            executable=executable,
            name=name,
            namespace=text("namespace"),
            parameters=list(parameters),
            arguments=["--ros-args", "--log-level", text("log_level")],
            output="screen",
            emulate_tty=True,
            **options,
        )

    episodes = number("episodes") if switch("sim") else 0
    controller: dict[str, Any] = {
        "robot": text("robot"),
        "autostart": switch("autostart"),
        "use_sim_time": switch("use_sim_time"),
    }
    controller |= {name: text(name) for name in ("checkpoint", "mode", "device") if text(name)}
    if text("out"):
        controller["record.directory"] = str(Path(text("out"), "episodes"))
    if switch("sim"):
        # The two must agree on it, whatever params_file says.
        controller["lock_step"] = switch("lock_step") if text("lock_step") else episodes > 0

    # Without respawn the launch ends with the first of its nodes: a robot without its controller,
    # or a controller without its robot, is no use, and the episodes would wait for nothing.
    respawn = {"respawn": True, "respawn_delay": 2.0}
    lasting = respawn if switch("use_respawn") else {"on_exit": end_launch}
    nodes = [
        node("gac_controller", "controller", text("params_file"), typed(controller), **lasting)
    ]
    if switch("sim"):
        simulator = {
            "robot": text("robot"),
            "mjcf": text("mjcf"),
            "headless": switch("headless"),
            "lock_step": controller["lock_step"],
            "start_paused": episodes > 0,
        }
        nodes.append(node("sim", "sim", typed(simulator), **lasting))
    if episodes > 0:
        drive = {
            "robot": text("robot"),
            "episodes": episodes,
            "seed": number("seed"),
            "out": text("out"),
        }
        nodes.append(node("run_episodes", "run_episodes", typed(drive), on_exit=end_launch))
    return nodes


def end_launch(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """End the launch with this process; if it failed, `ros2 launch` fails too."""
    if context.is_shutdown:
        return None
    if event.returncode != 0:
        raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
    return Shutdown(reason=f"{event.process_name} is done")
