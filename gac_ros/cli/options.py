"""Options that several commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

Robot = Annotated[
    str,
    typer.Option(
        "--robot",
        help="A packaged robot (pointmaze_umaze, pointmaze_medium, pointmaze_large, hopper, "
        "halfcheetah, walker2d) or the path of an embodiment file (*.yaml).",
    ),
]
Mjcf = Annotated[
    Path | None,
    typer.Option(
        "--mjcf", help="MJCF file with the robot's physics, for an embodiment of your own."
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        help="Decides every start and every plan; the same seed gives the same episodes.",
    ),
]
Device = Annotated[
    str, typer.Option("--device", help="Where the model runs: auto, cpu, cuda or cuda:N.")
]
CheckpointPath = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint",
        help="Checkpoint folder, or a training run's folder (its newest checkpoint). "
        "Default: the one packaged for the robot.",
    ),
]


EpisodeCount = Annotated[int, typer.Option("--episodes", min=1, help="How many episodes.")]


class ModeName(str, Enum):
    """How plans are made."""

    EXPLOIT = "exploit"
    EXPLORE = "explore"
    POSTERIOR = "posterior"


class TransportName(str, Enum):
    """How the robot is reached."""

    ROS = "ros"
    INPROC = "inproc"
