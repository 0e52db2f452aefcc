"""`gac bench`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gac_ros.cli import (
    bench_buffer,
    bench_control,
    bench_learning,
    bench_online,
    bench_online_value_based,
    bench_planner,
    bench_plans,
    bench_replanning,
    bench_training,
)
from gac_ros.cli.bench_learning import Results
from gac_ros.cli.display import help_without_command, make_console

app = typer.Typer(
    help="Measure, keep each run as JSON, and render docs/results.md from these files.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

app.command("buffer")(bench_buffer.buffer)
app.command("control")(bench_control.control)
app.command("soak")(bench_control.soak)
app.command("planner")(bench_planner.planner)
app.command("online")(bench_online.online)
app.command("online-value-based")(bench_online_value_based.online_value_based)
app.command("plans")(bench_plans.plans)
app.command("replanning")(bench_replanning.replanning)
app.command("training")(bench_training.training)
app.command("learning")(bench_learning.learning)


@app.callback()
def _root(context: typer.Context) -> None:
    help_without_command(context)


@app.command()
def report(
    results: Results = Path("docs/results"),
    out: Annotated[
        Path, typer.Option("--out", help="The page to write; its plots go to --results.")
    ] = Path("docs/results.md"),
    rate_out: Annotated[
        Path, typer.Option("--rate-out", help="The page on control at rate, if it was measured.")
    ] = Path("docs/rate.md"),
) -> None:
    """Render the page of results and its plots from the runs' JSON files.

    The prose of notes.md in the results folder becomes the page's last section.

    Example: `gac bench report`
    """
    from gac_ros.bench.rate_page import write_rate_page
    from gac_ros.bench.report import write_report

    write_report(results, out)
    make_console().print(f"Report: {out}", soft_wrap=True)
    if write_rate_page(results, rate_out):
        make_console().print(f"Report: {rate_out}", soft_wrap=True)
