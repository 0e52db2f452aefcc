"""`gac demo`."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import command_line
from gac_ros.cli.options import EpisodeCount, Seed


def demo(
    context: typer.Context,
    robot: Annotated[
        str, typer.Option("--robot", help="A robot that a checkpoint is packaged for.")
    ] = "pointmaze_umaze",
    episodes: EpisodeCount = 5,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for results, bags and logs. Default: demo/TIME in the current folder.",
        ),
    ] = None,
    real_time: Annotated[
        bool,
        typer.Option("--real-time", help="Let simulated time run at the pace of a real robot."),
    ] = False,
) -> None:
    """Watch the packaged policy drive a robot over real ROS 2.

    Starts the simulated robot and the controller as two processes, runs some episodes, and
    prints for each its return, normalised score, predicted return and latency, then where the
    recorded bags lie.

    Example: `gac demo --robot hopper --episodes 20`
    """
    from gac_ros.cli.evaluate import run_and_report
    from gac_ros.evaluation.evaluate import EvaluationRequest

    run_and_report(
        EvaluationRequest(
            robot=robot,
            out=out or Path("demo") / f"{datetime.now():%Y%m%d-%H%M%S}",
            episodes=episodes,
            seed=seed,
            real_time_factor=1.0 if real_time else None,
            command_line=command_line(context),
        )
    )
