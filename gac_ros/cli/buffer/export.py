"""`gac buffer export`: give episodes to other tools."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.display import counted_progress, make_console
from gac_ros.errors import EpisodeError

if TYPE_CHECKING:
    from gac_ros.buffer.exchange.episodes import Exchanged
    from gac_ros.buffer.exchange.export import WriteDataset
    from gac_ros.embodiment import Embodiment


class Format(str, Enum):
    """Formats of data sets."""

    MINARI = "minari"
    LEROBOT = "lerobot"


def export_episodes(
    directories: Annotated[
        list[str],
        typer.Argument(help="Folders of bags, bags, or addresses such as s3://bucket/episodes."),
    ],
    format_: Annotated[
        Format,
        typer.Option(
            "--format",
            help="minari (HDF5; extra 'minari') or lerobot (version 3; extra 'lerobot').",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the data set; it must be new.")],
    where: Annotated[
        str | None,
        typer.Option(
            "--where", help="Only episodes that fulfil an SQL condition; see gac buffer ls."
        ),
    ] = None,
    dataset_id: Annotated[
        str | None,
        typer.Option("--dataset-id", help="Of Minari; by default ROBOT/NAME OF THE FOLDER-v0."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Of LeRobot: what the robot does, in words."),
    ] = None,
    single_precision: Annotated[
        bool,
        typer.Option(
            "--single-precision",
            help="Of LeRobot: float32, as most of its policies want; otherwise numbers are exact.",
        ),
    ] = False,
) -> None:
    """Write episodes as a data set of Minari or LeRobot.

    The data set appears only when it is complete. What the format cannot hold is said. Exit code 1
    when a bag was damaged and left out.

    Example: `gac buffer export episodes/umaze --format minari --out ~/.minari/datasets/umaze-v0`
    """
    from gac_ros.buffer.exchange.export import export_buffer
    from gac_ros.buffer.query import choose
    from gac_ros.buffer.summary import list_episodes

    rows = [row for directory in directories for row in list_episodes(directory)]
    rows = [row for row in choose(rows, where=where) if row.state in _BAGS]
    if not rows:
        raise EpisodeError(
            f"{', '.join(directories)}: no episode to export; check the path and --where"
        )
    write = _writer(format_, out, dataset_id, task, single_precision)
    with counted_progress(len(rows), "exporting") as advance:
        report = export_buffer([row.path for row in rows], out, write, on_episode=advance)
    console = make_console()
    for line in report.left_out:
        console.print(f"left out: {line}", soft_wrap=True)
    for line in report.losses:
        console.print(f"not kept: {line}", soft_wrap=True)
    console.print(
        f"{report.episodes} episodes, {report.steps} steps: {report.path}", soft_wrap=True
    )
    if report.left_out:
        raise typer.Exit(1)


_BAGS = ("complete", "recovered", "damaged")


def _writer(
    format_: Format, out: Path, dataset_id: str | None, task: str | None, single_precision: bool
) -> WriteDataset:
    if format_ is Format.MINARI:
        from gac_ros.buffer.exchange.minari_format import default_id, write_minari

        def write_to_minari(
            folder: Path, embodiment: Embodiment, episodes: Iterator[Exchanged]
        ) -> tuple[str, ...]:
            name = dataset_id or default_id(embodiment, out)
            return write_minari(folder, embodiment, episodes, dataset_id=name)

        return write_to_minari

    from gac_ros.buffer.exchange.lerobot_write import write_lerobot

    def write_to_lerobot(
        folder: Path, embodiment: Embodiment, episodes: Iterator[Exchanged]
    ) -> tuple[str, ...]:
        return write_lerobot(
            folder,
            embodiment,
            episodes,
            task=task or f"{embodiment.description or embodiment.name}",
            single_precision=single_precision,
        )

    return write_to_lerobot
