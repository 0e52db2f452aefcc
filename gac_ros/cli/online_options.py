"""Options of `gac online` and `gac improve`, and the run that they ask for."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gac_ros.cli.display import command_line
from gac_ros.cli.options import TransportName

if TYPE_CHECKING:
    from gac_ros.online.config import OnlineConfig
    from gac_ros.online.request import OnlineRequest

_Config = TypeVar("_Config", bound="OnlineConfig")


class StrategyName(str, Enum):
    """How collecting plans are made."""

    EXPLORE = "explore"
    EXPLOIT = "exploit"
    PRIOR = "prior"
    POSTERIOR = "posterior"


class KeepName(str, Enum):
    """Which of the initial episodes are used."""

    ALL = "all"
    WORST_HALF = "worst-half"


Out = Annotated[
    Path,
    typer.Option(
        "--out", help="Folder of the run: a folder a round, results.json and returns.png."
    ),
]
InitialData = Annotated[
    list[str] | None,
    typer.Option(
        "--initial-data",
        help="Folder of episode bags to begin with, or an address such as s3://bucket/episodes; "
        "may be given several times.",
    ),
]
Keep = Annotated[
    KeepName,
    typer.Option(
        "--keep",
        help="Which of them. worst-half: those of the lowest returns, a weak start to improve "
        "upon.",
    ),
]
Collect = Annotated[
    StrategyName | None,
    typer.Option(
        "--collect",
        help="How collecting plans are made. explore: for a target return that tunes itself. "
        "exploit, prior, posterior (Latent Plan Transformer's sampling): what exploration is "
        "compared with. Default: the settings', explore.",
    ),
]
Episodes = Annotated[
    int | None,
    typer.Option("--episodes", min=1, help="To collect in all. Default: the settings', 300."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of starts, plans and trainings.")]
TransportOption = Annotated[
    TransportName,
    typer.Option(
        "--transport",
        help="inproc: the control loop in this process. ros: simulator and controller are two "
        "processes on a real ROS graph.",
    ),
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Continue the run in --out where it stopped.")
]


def read_settings(
    kind: type[_Config], file: Path, collect: StrategyName | None, episodes: int | None
) -> _Config:
    """Settings of a file, changed by what was given on the command line.

    Raises:
        ConfigurationError: the file cannot be read, or a key is unknown or wrong.
    """
    from gac_ros.online.config import read_config

    changes = {"collect": None if collect is None else collect.value, "episodes": episodes}
    return read_config(
        kind, file, {key: value for key, value in changes.items() if value is not None}
    )


def make_request(
    context: typer.Context,
    config: OnlineConfig,
    robot: str,
    out: Path,
    data: list[str] | None,
    keep: KeepName,
    checkpoint: Path | None,
    seed: int,
    transport: TransportName,
    mjcf: Path | None,
    device: str,
    resume: bool,
) -> OnlineRequest:
    """The run that these options ask for."""
    from gac_ros.bench.provenance import commit
    from gac_ros.buffer.remote import as_place
    from gac_ros.online.request import OnlineRequest

    return OnlineRequest(
        robot=robot,
        out=out,
        config=config,
        seed=seed,
        initial_data=tuple(map(as_place, data or ())),
        keep=keep.value,
        checkpoint=checkpoint,
        transport=transport.value,
        mjcf=mjcf,
        device=device,
        resume=resume,
        command_line=command_line(context),
        commit=commit(),
    )
