"""What the measuring commands of `gac bench` end with: tables, goals, and a file of figures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from errno import EISDIR
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.display import make_console
from gac_ros.errors import OutputError

if TYPE_CHECKING:
    from gac_ros.bench.goals import SpeedGoal


def _writable(path: Path | None) -> Path | None:
    """The same path, once it is known that a file can be written there: before minutes have gone.

    Raises:
        OutputError: it cannot.
    """
    if path is None:
        return None
    try:
        if path.is_dir():
            raise IsADirectoryError(EISDIR, os.strerror(EISDIR))
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            return path
    except OSError as error:
        raise OutputError(
            f"--json {path}: cannot be written ({error.strerror or error}); choose another file"
        ) from error


JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json", callback=_writable, help="Also write goals and raw figures to this file."
    ),
]


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of text."""
    from rich.table import Table

    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*row)
    make_console().print(table)


def conclude(goals: Sequence[SpeedGoal], figures: dict[str, Any], json_file: Path | None) -> None:
    """Print how the goals stand, and keep them with the figures where a file is given.

    Raises:
        OutputError: the file cannot be written.
    """
    from gac_ros.bench.goals import write_measurement

    if goals:
        print_table(
            "Goals",
            ("goal", "measured", "wanted", "met"),
            [(g.name, f"{g.value:.4g}", g.goal, "yes" if g.met else "no") for g in goals],
        )
    if json_file is not None:
        write_measurement(json_file, goals, figures)
        make_console().print(f"Figures: {json_file}", soft_wrap=True)
