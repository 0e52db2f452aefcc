"""`gac replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import make_console
from gac_ros.cli.options import Device

if TYPE_CHECKING:
    from gac_ros.evaluation.replay import ReplayReport


def replay(
    bags: Annotated[list[Path], typer.Argument(help="Bags, or folders of bags.")],
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--checkpoint",
            help="The checkpoint that acted, if it is not where the bag says it was.",
        ),
    ] = None,
    device: Device = "cpu",
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Instead, play the recorded inputs on their topics, for a controller that is "
            "running. It acts on them once an episode was started: ros2 service call "
            "/gac_controller/start_episode std_srvs/srv/Trigger",
        ),
    ] = False,
    rate: Annotated[
        float,
        typer.Option("--rate", min=0.01, help="With --publish: speed, 1 is that of the recording."),
    ] = 1.0,
) -> None:
    """Recompute the actions of recorded episodes and compare.

    Feeds the recorded inputs and the recorded plan to the policy and reports the largest
    difference from the recorded actions. Exit code 1 if it is above 1e-5 anywhere.

    Example: `gac replay demo/*/episodes`
    """
    from gac_ros.evaluation.replay import TOLERANCE, find_bags, replay_bags

    paths = [bag for path in bags for bag in find_bags(path)]
    if publish:
        _publish(paths, rate)
        return
    reports = []
    console = make_console()
    for report in replay_bags(paths, checkpoint, device=device):
        reports.append(report)
        console.print(_line(report), soft_wrap=True)
    largest = max(report.largest_difference for report in reports)
    faithful = sum(report.faithful for report in reports)
    console.print(
        f"{faithful} of {len(reports)} episodes reproduced; largest difference {largest:.3g} "
        f"(at most {TOLERANCE:g} allowed)"
    )
    if faithful < len(reports):
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


def _publish(bags: list[Path], rate: float) -> None:
    # The only part that needs a ROS installation.
    from gac_ros.evaluation.over_ros.publish import publish_inputs

    console = make_console()
    for bag in bags:
        count = publish_inputs(bag, rate)
        console.print(f"{bag.name}: published {count} messages", soft_wrap=True)
