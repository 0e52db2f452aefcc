"""Start the GAC controller of a robot, and, with sim:=true, a simulated robot that runs episodes.

    ros2 launch gac_ros controller.launch.py robot:=pointmaze_umaze sim:=true

With sim:=true and episodes above 0 a third process drives the episodes, reports each one, and ends
the launch when they are done; `ros2 launch` then exits with 0 if all went well. An argument that is
left empty leaves the choice to params_file.
"""

from __future__ import annotations

from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch import LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

SWITCH = ["true", "false"]


def generate_launch_description() -> LaunchDescription:
    parameters = Path(get_package_share_directory("gac_ros"), "config", "controller.yaml")

    def argument(
        name: str, default: str, text: str, choices: list[str] | None = None
    ) -> DeclareLaunchArgument:
        return DeclareLaunchArgument(name, default_value=default, description=text, choices=choices)

    return LaunchDescription(
        [
            argument("robot", "pointmaze_umaze", "a packaged embodiment, or an embodiment file"),
            argument("checkpoint", "", "checkpoint folder; empty: the one packaged for the robot"),
            argument("sim", "false", "also start a simulated robot", SWITCH),
            argument(
                "episodes",
                "5",
                "with sim:=true, episodes to run before the launch ends; 0: only start the nodes",
            ),
            argument("mode", "", "how plans are made: exploit, explore or posterior"),
            argument("out", "", "folder that receives one bag per episode"),
            argument("device", "", "auto, cpu, cuda or cuda:N"),
            argument("namespace", "", "namespace of all nodes"),
            argument("use_sim_time", "false", "the controller's clock is /clock", SWITCH),
            argument("params_file", str(parameters), "parameters of the controller"),
            argument("autostart", "true", "the controller configures and activates itself", SWITCH),
            argument("use_respawn", "false", "start a node that died again", SWITCH),
            argument("log_level", "info", "debug, info, warn, error or fatal"),
            argument("headless", "true", "the simulated robot opens no window", SWITCH),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the launch arguments ask for."""

    def given(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    sim, respawn = given("sim") == "true", given("use_respawn") == "true"
    robot = {"robot": given("robot")}
    chosen = {"checkpoint": "checkpoint", "mode": "mode", "device": "device"}
    chosen["out"] = "record.directory"
    controller = {
        **robot,
        **{name: given(key) for key, name in chosen.items() if given(key)},
        "autostart": given("autostart") == "true",
        "use_sim_time": given("use_sim_time") == "true",
    }

    def node(name: str, executable: str, *parameters: object, **options: object) -> Node:
        return Node(
            package="gac_ros",
            executable=executable,
            name=name,
            namespace=given("namespace"),
            parameters=list(parameters),
            arguments=["--ros-args", "--log-level", given("log_level")],
            output="screen",
            emulate_tty=True,
            **options,
        )

    # Without respawn the launch ends with the first of its nodes: a robot without its controller,
    # or a controller without its robot, is no use, and the episodes would wait for nothing.
    stays = {"respawn": True, "respawn_delay": 2.0} if respawn else {"on_exit": end_launch}
    nodes = [node("gac_controller", "controller", given("params_file"), controller, **stays)]
    if sim:
        nodes.append(
            node("sim", "sim", {**robot, "headless": given("headless") == "true"}, **stays)
        )
        if not given("episodes").isdecimal():
            raise RuntimeError(f"episodes:={given('episodes')} is not a number of episodes")
        if int(given("episodes")) > 0:
            drive = {**robot, "episodes": int(given("episodes"))}
            nodes.append(node("run_episodes", "run_episodes", drive, on_exit=end_launch))
    return nodes


def end_launch(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """End the launch with this process; if it failed, `ros2 launch` fails too."""
    if context.is_shutdown:
        return None
    if event.returncode != 0:
        raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
    return Shutdown(reason=f"{event.process_name} is done")
