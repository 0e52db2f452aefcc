"""`gac buffer repair`: recover recordings that were cut off, and damaged bags."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.buffer.options import Json
from gac_ros.cli.display import make_console

if TYPE_CHECKING:
    from gac_ros.buffer.repair import Repaired


def repair(
    directory: Annotated[Path, typer.Argument(help="Folder of bags.")],
    robot: Annotated[
        str | None,
        typer.Option(
            "--robot",
            help="The robot of recordings that do not tell: a packaged one, or an embodiment file.",
        ),
    ] = None,
    unfinished: Annotated[
        bool,
        typer.Option(
            "--unfinished", help="Only recordings that were cut off; do not check complete bags."
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Recover episodes whose recording was cut off, and damaged bags.

    What can be read becomes a valid bag marked as recovered. Originals are moved to .salvaged
    within the folder, never deleted. Recordings that are going on are left alone, and those of
    other tools, which `gac buffer import` takes in. Exit code 1 when something could not be
    recovered.

    Example: `gac buffer repair episodes/umaze`
    """
    from gac_ros.buffer.repair import repair_buffer
    from gac_ros.embodiment import find_embodiment

    console = make_console()

    def show(repaired: Repaired) -> None:
        if not as_json:
            console.print(_repaired_line(repaired), soft_wrap=True)

    done = repair_buffer(
        directory,
        damaged=not unfinished,
        embodiment=None if robot is None else find_embodiment(robot),
        on_episode=show,
    )
    if as_json:
        typer.echo(json.dumps([_repaired_dict(repaired) for repaired in done], indent=2))
    elif not done:
        console.print("nothing to repair")
    if any(repaired.state == "failed" for repaired in done):
        raise typer.Exit(1)


def _repaired_line(repaired: Repaired) -> str:
    if repaired.state == "completed":
        return f"{repaired.episode_id}: was whole, and is in its place now"
    if repaired.state == "recovered":
        lost = f", {repaired.lost} messages missing in between" if repaired.lost else ""
        return (
            f"{repaired.episode_id}: recovered {repaired.steps} steps, {repaired.messages} "
            f"messages{lost}; the original is {repaired.original}"
            + (f"; {repaired.note}" if repaired.note else "")
        )
    return f"{repaired.episode_id}: {repaired.state}: {repaired.problem} ({repaired.original})"


def _repaired_dict(repaired: Repaired) -> dict[str, Any]:
    content = asdict(repaired)
    return {key: str(value) if isinstance(value, Path) else value for key, value in content.items()}
