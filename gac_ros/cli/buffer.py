"""`gac buffer`: look at recorded episodes and take in others."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gac_ros.cli.display import counted_progress, help_without_command, make_console

if TYPE_CHECKING:
    from rich.table import Table

    from gac_ros.buffer.repair import Repaired
    from gac_ros.buffer.summary import EpisodeSummaryRow

app = typer.Typer(
    rich_markup_mode=None,
    invoke_without_command=True,
    help="Look after recorded episodes: a buffer is a folder of bags.",
)
app.callback()(help_without_command)

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command("ls")
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


@app.command("info")
def show_info(
    path: Annotated[Path, typer.Argument(help="One bag, or a folder of bags.")],
    as_json: Json = False,
) -> None:
    """Describe one episode, or a whole folder in numbers.

    Example: `gac buffer info episodes/umaze`
    """
    from gac_ros.buffer.summary import list_episodes
    from gac_ros.buffer.writer import METADATA_FILE

    rows = list_episodes(path)
    one = (path / METADATA_FILE).exists()
    content = _episode_dict(rows[0]) if one else _statistics(rows)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    make_console().print(_facts_table(content, str(path)))


@app.command("verify")
def verify_buffer(
    directory: Annotated[Path, typer.Argument(help="Folder of bags, or one bag.")],
    as_json: Json = False,
) -> None:
    """Check every bag: digests, checksums, message counts, and that it decodes.

    Exit code 1 when a bag is damaged or a recording was cut off.

    Example: `gac buffer verify episodes/umaze`
    """
    from gac_ros.buffer.reader import verify_content
    from gac_ros.buffer.summary import list_episodes
    from gac_ros.errors import GacError

    rows = list_episodes(directory)
    results: list[dict[str, Any]] = []
    with counted_progress(len(rows), "verifying") as advance:
        for row in rows:
            result: dict[str, Any] = {
                "episode_id": row.episode_id,
                "state": row.state,
                "messages": None,
                "problem": row.problem,
            }
            if row.usable:
                try:
                    result["messages"] = verify_content(row.path)
                except GacError as error:
                    result |= {"state": "damaged", "problem": str(error)}
            results.append(result)
            advance()
    bad = [result for result in results if result["state"] in ("damaged", "unfinished")]
    if as_json:
        typer.echo(json.dumps(results, indent=2))
    else:
        console = make_console()
        for result in bad:
            what = result["problem"] or "the recording was cut off"
            console.print(f"{result['episode_id']}: {what}", soft_wrap=True)
        sound = [result["messages"] for result in results if result["messages"] is not None]
        console.print(
            f"{len(sound)} bags with {sum(sound)} messages are sound"
            + (f"; {len(bad)} damaged or unfinished: gac buffer repair" if bad else "")
        )
    if bad:
        raise typer.Exit(1)


@app.command("repair")
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
    within the folder, never deleted. Recordings that are going on are left alone. Exit code 1 when
    something could not be recovered.

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
        )
    return f"{repaired.episode_id}: {repaired.state}: {repaired.problem} ({repaired.original})"


def _repaired_dict(repaired: Repaired) -> dict[str, Any]:
    content = asdict(repaired)
    return {key: str(value) if isinstance(value, Path) else value for key, value in content.items()}


@app.command("import")
def import_episodes(
    file: Annotated[
        Path,
        typer.Argument(
            help="Data set of step arrays (*.npz): observations (T+1 an episode), actions, "
            "rewards, lengths, terminated, truncated, and perhaps env_id and note."
        ),
    ],
    robot: Annotated[
        str,
        typer.Option(
            "--robot",
            help="The robot the data are of: a packaged one, or an embodiment file (*.yaml).",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder that receives one bag an episode.")],
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Only the first so many episodes.")
    ] = None,
    policy: Annotated[
        str, typer.Option("--policy", help="Who acted, for the bags' metadata.")
    ] = "imported",
) -> None:
    """Turn a data set of step arrays into episode bags.

    An import that was interrupted goes on where it stopped when it is repeated.

    Example: `gac buffer import hopper.npz --robot hopper --out episodes/hopper`
    """
    from gac_ros.buffer.importing.import_steps import check_environment, import_step_arrays
    from gac_ros.buffer.importing.step_arrays import load_step_arrays
    from gac_ros.embodiment import find_embodiment, known_robots

    embodiment = find_embodiment(robot)
    arrays = load_step_arrays(file)
    # With an embodiment of their own, users say themselves what fits.
    if robot in known_robots():
        check_environment(embodiment, arrays.env_id, origin=str(file))
    total = len(arrays) if limit is None else min(limit, len(arrays))
    with counted_progress(total, "importing") as advance:
        report = import_step_arrays(
            arrays, embodiment, out, limit=limit, policy=policy, on_episode=advance
        )
    present = f" ({report.present} were there already)" if report.present else ""
    make_console().print(
        f"{report.imported} episodes{present}, {report.steps} steps: return mean "
        f"{report.returns.mean():.1f}, best {report.returns.max():.1f}; {report.terminated} "
        f"terminated, {report.truncated} truncated",
        soft_wrap=True,
    )


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


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
