"""`gac replay`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import make_console
from gac_ros.cli.options import Device
from gac_ros.errors import ConfigurationError

if TYPE_CHECKING:
    from gac_ros.embodiment import Embodiment
    from gac_ros.evaluation.commands import RecordedCommands
    from gac_ros.evaluation.replay import ReplayReport

Bags = Annotated[list[Path], typer.Argument(help="Bags, or folders of bags.")]
ActingCheckpoint = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="The checkpoint that acted, if it is not where the bag says it was.",
    ),
]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FOLDER",
        help="Draw recorded and recomputed actions of each episode to FOLDER/EPISODE.png "
        "(extra 'bench').",
    ),
]
Publish = Annotated[
    bool,
    typer.Option(
        "--publish",
        help="Instead, play the recorded inputs on their topics, for a controller that is "
        "running. It acts on them once an episode was started: ros2 service call "
        "/gac_controller/start_episode std_srvs/srv/Trigger",
    ),
]
ToRobot = Annotated[
    bool,
    typer.Option(
        "--to-robot",
        help="Instead, send the recorded commands of one episode to the robot itself, within "
        "its limits, and go to the safe action at the end. Nobody watches what the robot does!",
    ),
]
Rate = Annotated[
    float,
    typer.Option(
        "--rate", min=0.01, help="With --publish, --to-robot: speed, 1 is the recording's."
    ),
]
Topic = Annotated[
    list[str] | None,
    typer.Option(
        "--topic",
        help="With --publish: play this recorded topic, not the inputs; but for the commands, "
        "which --to-robot sends. Repeatable.",
    ),
]
Qos = Annotated[
    Path | None,
    typer.Option(
        "--qos",
        metavar="FILE",
        help="With --publish: quality of service by topic, in the YAML of ros2 bag play "
        "--qos-profile-overrides-path.",
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        min=0.0,
        metavar="SECONDS",
        help="With --publish, --to-robot: how long to wait for somebody to listen.",
    ),
]
NoWait = Annotated[
    bool, typer.Option("--no-wait", help="With --publish: play whether or not anyone listens.")
]
LimitingRobot = Annotated[
    str | None,
    typer.Option(
        "--robot",
        help="With --to-robot: keep to the limits of this robot, a packaged one or an "
        "embodiment file, instead of those of the recording.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="With --to-robot: do not ask, for scripts.")]


def replay(
    bags: Bags,
    checkpoint: ActingCheckpoint = None,
    device: Device = "cpu",
    plot: Plot = None,
    publish: Publish = False,
    to_robot: ToRobot = False,
    rate: Rate = 1.0,
    topic: Topic = None,
    qos: Qos = None,
    wait: Wait = 10.0,
    no_wait: NoWait = False,
    robot: LimitingRobot = None,
    yes: Yes = False,
) -> None:
    """Recompute the actions of recorded episodes and compare.

    Feeds the recorded inputs and the recorded plan to the policy and reports the largest
    difference from the recorded actions. Exit code 1 if it is above 1e-5 anywhere.

    Examples: `gac replay demo/*/episodes --plot pictures`, `gac replay BAG --publish --rate 0.5`,
    `gac replay BAG --to-robot --rate 0.5`
    """
    from gac_ros.evaluation.replay import find_bags

    _check_options(
        publish,
        to_robot,
        only_publish={"--topic": topic, "--qos": qos, "--no-wait": no_wait},
        only_robot={"--robot": robot, "--yes": yes},
        only_compare={"--plot": plot, "--checkpoint": checkpoint},
    )
    paths = [bag for path in bags for bag in find_bags(path)]
    if publish:
        _publish(paths, rate, topic or [], qos, None if no_wait else wait)
    elif to_robot:
        _drive(paths, rate, wait, robot, yes)
    else:
        _compare(paths, checkpoint, device, plot)


def _check_options(
    publish: bool,
    to_robot: bool,
    *,
    only_publish: dict[str, object],
    only_robot: dict[str, object],
    only_compare: dict[str, object],
) -> None:
    if publish and to_robot:
        raise ConfigurationError("--publish and --to-robot are two things; give one of them")
    for options, wanted, with_ in (
        (only_publish, publish, "with --publish"),
        (only_robot, to_robot, "with --to-robot"),
        (only_compare, not (publish or to_robot), "without --publish and --to-robot"),
    ):
        given = [name for name, value in options.items() if value]
        if given and not wanted:
            raise ConfigurationError(f"{given[0]} has a meaning only {with_}")


def _compare(paths: list[Path], checkpoint: Path | None, device: str, plot: Path | None) -> None:
    from gac_ros.evaluation.replay import TOLERANCE, replay_bags
    from gac_ros.evaluation.replay_plot import plot_replay

    console = make_console()
    faithful, largest = 0, 0.0
    for report in replay_bags(paths, checkpoint, device=device):
        console.print(_line(report), soft_wrap=True)
        faithful += report.faithful
        largest = max(largest, report.largest_difference)
        if plot is not None:
            picture = plot_replay(report, plot / f"{report.bag.name}.png")
            console.print(f"  drawn: {picture}", soft_wrap=True)
    console.print(
        f"{faithful} of {len(paths)} episodes reproduced; largest difference {largest:.3g} "
        f"(at most {TOLERANCE:g} allowed)"
    )
    if faithful < len(paths):
        raise typer.Exit(1)


def _line(report: ReplayReport) -> str:
    text = f"{report.bag.name}: {report.steps} steps, largest difference "
    text += f"{report.largest_difference:.3g}"
    if report.largest_difference > 0.0:
        text += f" at step {report.largest_difference_step}"
    if report.sources_differ:
        text += f", {report.sources_differ} safe actions not reproduced"
    if report.dropped_messages:
        text += f", {report.dropped_messages} messages were not recorded"
    return text


def _publish(
    bags: list[Path], rate: float, topics: list[str], qos: Path | None, patience: float | None
) -> None:
    # This and what follows are the only parts that need a ROS installation.
    from gac_ros.evaluation.over_ros.publish import Playback, publish_bag
    from gac_ros.evaluation.over_ros.qos import read_qos

    profiles = {} if qos is None else read_qos(qos)
    how = Playback(rate=rate, topics=tuple(topics), qos=profiles, patience=patience)
    console = make_console()
    for bag in bags:
        count = publish_bag(bag, how)
        console.print(f"{bag.name}: published {count} messages", soft_wrap=True)


def _drive(bags: list[Path], rate: float, patience: float, robot: str | None, yes: bool) -> None:
    from gac_ros.embodiment import find_embodiment
    from gac_ros.evaluation.commands import check_same_commands, read_commands
    from gac_ros.evaluation.over_ros.drive import drive_robot

    if len(bags) != 1:
        raise ConfigurationError(f"--to-robot sends one episode, not {len(bags)}; give its bag")
    commands, embodiment = read_commands(bags[0])
    if robot is not None:
        wanted = find_embodiment(robot)
        check_same_commands(embodiment, wanted, bags[0])
        embodiment = wanted
    console = make_console()
    console.print(_announcement(commands, embodiment, rate), soft_wrap=True)
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("nobody is here to confirm; give --yes if the robot is clear")
        if not typer.confirm("Is the robot clear?"):
            raise typer.Exit(1)
    report = drive_robot(commands, embodiment, rate=rate, patience=patience)
    console.print(
        f"sent {report.commands} commands in {report.duration:.1f} s, {report.limited} of them "
        "changed by the limits; the safe action was sent last"
    )


def _announcement(commands: RecordedCommands, embodiment: Embodiment, rate: float) -> str:
    limits = ", ".join(
        f"{field.joint} [{field.limits[0]:g}, {field.limits[1]:g}] {field.unit}"
        + ("" if field.rate_limit is None else f" at most {field.rate_limit:g} a second")
        for field in embodiment.action.fields
    )
    seconds = commands.times[-1] / rate + embodiment.control_period
    return (
        f"This moves the robot '{embodiment.name}': {len(commands.actions)} commands of "
        f"{commands.bag.name} go to {commands.topic} within {seconds:.1f} s ({rate:g} x the "
        f"recorded speed). Limits: {limits}."
    )
