"""`gac buffer info`: one episode, or a folder in numbers."""

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


def show_info(
    path: Annotated[
        str, typer.Argument(help="One bag, a folder of bags, or an address of object storage.")
    ],
    as_json: Json = False,
) -> None:
    """Describe one episode, or a whole folder in numbers.

    Example: `gac buffer info episodes/umaze`
    """
    from gac_ros.buffer.summary import list_episodes
    from gac_ros.buffer.writer import METADATA_FILE

    rows = list_episodes(path)
    one = (Path(path) / METADATA_FILE).exists()
    content = _episode_dict(rows[0]) if one else _statistics(rows)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    make_console().print(_facts_table(content, path))


def _statistics(rows: list[EpisodeSummaryRow]) -> dict[str, Any]:
    import numpy as np

    complete = [row for row in rows if row.usable]
    returns = [row.episode_return for row in complete if row.episode_return is not None]
    content: dict[str, Any] = {
        "episodes": len(complete),
        "recovered": sum(row.state == "recovered" for row in rows),
        "recording": sum(row.state == "recording" for row in rows),
        "unfinished": sum(row.state == "unfinished" for row in rows),
        "damaged": sum(row.state == "damaged" for row in rows),
        "steps": sum(row.steps or 0 for row in complete),
        "size": sum(row.size for row in rows),
        "robots": sorted({row.robot for row in complete}),
        "policies": sorted({row.policy for row in complete}),
        "labelled": len(returns),
    }
    if returns:
        quantiles = np.quantile(returns, [0.0, 0.1, 0.5, 0.9, 1.0])
        names = ("return_min", "return_p10", "return_median", "return_p90", "return_max")
        content["return_mean"] = float(np.mean(returns))
        content |= {name: float(value) for name, value in zip(names, quantiles, strict=True)}
    return content


def _episode_dict(row: EpisodeSummaryRow) -> dict[str, Any]:
    content: dict[str, Any] = {"path": str(row.path), "state": row.state, "size": row.size}
    if row.problem:
        content["problem"] = row.problem
    if row.metadata is not None:
        content |= row.metadata.model_dump(mode="json")
    return content


def _facts_table(content: dict[str, Any], title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for key, value in content.items():
        # The contract fills pages; --json has it.
        if key != "embodiment":
            table.add_row(key, _text(value))
    return table


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
