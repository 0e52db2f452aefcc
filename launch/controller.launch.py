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


class Arguments:
    """The values of the launch arguments, as what they stand for."""

    def __init__(self, context: LaunchContext) -> None:
        self._context = context

    def text(self, name: str) -> str:
        """What was given, or the default."""
        return LaunchConfiguration(name).perform(self._context)

    def switch(self, name: str) -> bool:
        """Whether it is true."""
        return self.text(name) == "true"

    def number(self, name: str) -> int:
        """A whole number from 0.

        Raises:
            RuntimeError: it is none.
        """
        if not self.text(name).isdecimal():
            raise RuntimeError(f"{name}:={self.text(name)} is not a whole number from 0")
        return int(self.text(name))

    @property
    def episodes(self) -> int:
        """How many the launch drives."""
        return self.number("episodes") if self.switch("sim") else 0

    @property
    def lock_step(self) -> bool:
        """Whether the simulator waits for each action."""
        return self.switch("lock_step") if self.text("lock_step") else self.episodes > 0


def start(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    """Return the nodes that the launch arguments ask for."""
    given = Arguments(context)
    # Without respawn the launch ends with the first of its nodes: a robot without its controller,
    # or a controller without its robot, is no use, and the episodes would wait for nothing.
    respawn = {"respawn": True, "respawn_delay": 2.0}
    lasting = respawn if given.switch("use_respawn") else {"on_exit": end_launch}
    parameters = [given.text("params_file"), typed(controller_parameters(given))]
    nodes = [node(given, "gac_controller", "controller", parameters, **lasting)]
    if given.switch("sim"):
        simulator = {
            "robot": given.text("robot"),
            "mjcf": given.text("mjcf"),
            "headless": given.switch("headless"),
            "lock_step": given.lock_step,
            "start_paused": given.episodes > 0,
        }
        nodes.append(node(given, "sim", "sim", [typed(simulator)], **lasting))
    if given.episodes > 0:
        drive = {
            "robot": given.text("robot"),
            "episodes": given.episodes,
            "seed": given.number("seed"),
            "out": given.text("out"),
        }
        nodes.append(
            node(given, "run_episodes", "run_episodes", [typed(drive)], on_exit=end_launch)
        )
    return nodes


def controller_parameters(given: Arguments) -> dict[str, Any]:
    """What the launch arguments say to the controller; params_file decides the rest."""
    parameters: dict[str, Any] = {
        "robot": given.text("robot"),
        "autostart": given.switch("autostart"),
        "use_sim_time": given.switch("use_sim_time"),
    }
    for name in ("checkpoint", "mode", "device"):
        if given.text(name):
            parameters[name] = given.text(name)
    if given.text("out"):
        parameters["record.directory"] = str(Path(given.text("out"), "episodes"))
    if given.switch("sim"):
        # The two must agree on it, whatever params_file says.
        parameters["lock_step"] = given.lock_step
    return parameters


def typed(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters that keep their types; else a folder named 2026 would arrive as a number."""
    return {
        name: ParameterValue(value, value_type=type(value)) for name, value in parameters.items()
    }


def node(
    given: Arguments, name: str, executable: str, parameters: list[Any], **options: Any
) -> Node:
    """One of this package's nodes."""
    return Node(
        package="gac_ros",
        executable=executable,
        name=name,
        namespace=given.text("namespace"),
        parameters=parameters,
        arguments=["--ros-args", "--log-level", given.text("log_level")],
        output="screen",
        emulate_tty=True,
        **options,
    )


def end_launch(event: ProcessExited, context: LaunchContext) -> Shutdown | None:
    """End the launch with this process; if it failed, `ros2 launch` fails too."""
    if context.is_shutdown:
        return None
    if event.returncode != 0:
        raise RuntimeError(f"{event.process_name} ended with exit code {event.returncode}")
    return Shutdown(reason=f"{event.process_name} is done")
