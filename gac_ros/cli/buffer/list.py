"""`gac buffer ls`: a table of the episodes in a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.buffer.options import Json
from gac_ros.cli.display import make_console

if TYPE_CHECKING:
    from rich.table import Table

    from gac_ros.buffer.summary import EpisodeSummaryRow


def list_buffer(
    directory: Annotated[Path, typer.Argument(help="Folder of bags, or one bag.")],
    as_json: Json = False,
) -> None:
    """List the episodes of a folder, unfinished and damaged ones too.

    Example: `gac buffer ls episodes/umaze`
    """
    from gac_ros.buffer.summary import list_episodes

    rows = list_episodes(directory)
    if as_json:
        typer.echo(json.dumps([_row_dict(row) for row in rows], indent=2))
        return
    console = make_console()
    console.print(_rows_table(rows, directory))
    for row in rows:
        if row.problem:
            console.print(f"{row.episode_id}: {row.problem}", soft_wrap=True)
    robots = sorted({row.robot for row in rows if row.robot})
    console.print(", ".join([_totals(rows), *robots]))


def _row_dict(row: EpisodeSummaryRow) -> dict[str, Any]:
    return {
        "episode_id": row.episode_id,
        "path": str(row.path),
        "state": row.state,
        "problem": row.problem,
        "size": row.size,
        "robot": row.robot,
        "policy": row.policy,
        "mode": row.mode,
        "steps": row.steps,
        "return": row.episode_return,
        "predicted_return": row.predicted_return,
        "ending": row.ending,
        "outcome": row.outcome,
    }


def _rows_table(rows: list[EpisodeSummaryRow], directory: Path) -> Table:
    from rich import box
    from rich.table import Table

    several = len({row.robot for row in rows if row.robot}) > 1
    table = Table(
        title=str(directory),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("episode", no_wrap=True)
    if several:
        table.add_column("robot")
    table.add_column("policy")
    for heading in ("steps", "return", "predicted"):
        table.add_column(heading, justify="right")
    table.add_column("end")
    for row in rows:
        table.add_row(
            row.episode_id,
            *([row.robot] if several else []),
            f"{row.policy} {row.mode}".strip(),
            "" if row.steps is None else str(row.steps),
            _number(row.episode_return),
            _number(row.predicted_return),
            _end(row),
        )
    return table


def _end(row: EpisodeSummaryRow) -> str:
    if not row.usable:
        return row.state
    state = "recovered" if row.state == "recovered" else ""
    return " ".join(word for word in (row.ending, row.outcome, state) if word)


def _totals(rows: list[EpisodeSummaryRow]) -> str:
    usable = [row for row in rows if row.usable]
    steps = sum(row.steps or 0 for row in usable)
    size = sum(row.size for row in rows) / 2**20
    text = f"{len(usable)} episodes, {steps} steps, {size:.1f} MiB"
    recovered = sum(row.state == "recovered" for row in rows)
    others = sum(row.state in ("unfinished", "damaged") for row in rows)
    if recovered:
        text += f" ({recovered} recovered)"
    return text + (f"; {others} unfinished or damaged: gac buffer repair" if others else "")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
