"""`gac buffer ls`: a table of the episodes in one or several folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.buffer.options import Json
from gac_ros.cli.display import make_console

if TYPE_CHECKING:
    from rich.table import Table

    from gac_ros.buffer.rows import EpisodeSummaryRow


def list_buffer(
    directories: Annotated[
        list[str],
        typer.Argument(help="Folders of bags, bags, or addresses such as s3://bucket/episodes."),
    ],
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            help='Only episodes that fulfil an SQL condition, such as "return > 100 and mode = '
            "'explore'\". Columns: episode_id, state, robot, embodiment, policy, mode, checkpoint, "
            "checkpoint_digest, seed, steps, return, predicted_return, terminated, truncated, "
            "outcome, faults, safe_actions, dropped_messages, overruns, started, duration, size, "
            "path, problem.",
        ),
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", help="Column to sort by; the episode id by default.")
    ] = None,
    descending: Annotated[
        bool, typer.Option("--descending", help="The largest values first.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on, and print each new episode as it is completed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the episodes of folders, unfinished and damaged ones too.

    Episodes that were seen before are taken from the folder's index; `gac buffer verify` reads them
    all. The column faults is safe_actions (steps at which the safe action replaced the policy's,
    whatever the fault) plus dropped_messages (that the recorder lost); late decisions are in
    overruns. Which faults there were is told by the messages on the bag's fault topic.

    Example: `gac buffer ls episodes/umaze --where "return > 100" --sort return --descending`
    """
    from gac_ros.buffer.query import choose
    from gac_ros.buffer.summary import list_episodes

    rows = [row for directory in directories for row in list_episodes(directory)]
    chosen = choose(rows, where=where, sort=sort, descending=descending, limit=limit)
    if as_json:
        typer.echo(json.dumps([_row_dict(row) for row in chosen], indent=None if follow else 2))
    else:
        _print_rows(chosen, ", ".join(directories))
    if follow:
        _follow(directories, {row.path for row in rows}, where, as_json=as_json)


def _follow(directories: list[str], known: set[Path], where: str | None, *, as_json: bool) -> None:
    from gac_ros.buffer.query import choose
    from gac_ros.buffer.watch import Watcher

    for row in Watcher(directories, known).follow(period=1.0):
        if not choose([row], where=where):
            continue
        if as_json:
            typer.echo(json.dumps(_row_dict(row)))
        else:
            words = (f"{row.policy} {row.mode}".strip(), f"{row.steps} steps", _end(row))
            text = f"return {_number(row.episode_return) or 'unknown'}"
            typer.echo(", ".join(word for word in (row.episode_id, *words, text) if word))


def _print_rows(rows: list[EpisodeSummaryRow], title: str) -> None:
    console = make_console()
    console.print(_rows_table(rows, title))
    for row in rows:
        if row.problem:
            console.print(f"{row.episode_id}: {row.problem}", soft_wrap=True)
    robots = sorted({row.robot for row in rows if row.robot})
    console.print(", ".join([_totals(rows), *robots]))


def _row_dict(row: EpisodeSummaryRow) -> dict[str, Any]:
    from gac_ros.buffer.query import column_values

    return {
        **column_values(row),
        "outcome": row.outcome,
        "ending": row.ending,
        "digest": row.digest,
    }


def _rows_table(rows: list[EpisodeSummaryRow], title: str) -> Table:
    from rich import box
    from rich.table import Table

    several = len({row.robot for row in rows if row.robot}) > 1
    faulty = any(row.faults for row in rows)
    table = Table(
        title=title,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )
    table.add_column("episode", no_wrap=True)
    if several:
        table.add_column("robot")
    table.add_column("policy")
    for heading in ("steps", "return", "predicted", *(["faults"] if faulty else [])):
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
            *([str(row.faults or "")] if faulty else []),
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
