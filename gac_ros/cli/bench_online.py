"""`gac bench online`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli.display import make_console


def online(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders of runs of gac online or gac improve, to be kept."),
    ] = None,
    results: Annotated[
        Path, typer.Option("--results", help="Folder of the JSON files and of the picture.")
    ] = Path("docs/results/online"),
    page: Annotated[
        Path, typer.Option("--page", help="The page whose figures are rendered.")
    ] = Path("docs/online.md"),
) -> None:
    """Keep the figures of online runs, and render them into the page.

    Each run becomes a JSON file named after its folder; the tables and the picture are made of
    these files alone. A run that is going on is kept with the rounds that are complete.

    Example: `gac bench online runs/explore-0 runs/exploit-0`
    """
    from gac_ros.bench.online import write_figures
    from gac_ros.bench.online_records import keep_run

    console = make_console()
    for run in runs or []:
        console.print(f"Kept:   {keep_run(run, results)}", soft_wrap=True)
    write_figures(results, page)
    console.print(f"Figures: {page}", soft_wrap=True)
