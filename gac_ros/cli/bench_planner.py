"""`gac bench planner`."""

from __future__ import annotations

from typing import Annotated

import typer

from gac_ros.cli.bench_output import JsonFile, conclude, print_table
from gac_ros.cli.display import counted_progress


def planner(
    robot: Annotated[
        str, typer.Option("--robot", help="With a packaged checkpoint.")
    ] = "pointmaze_umaze",
    rate: Annotated[float, typer.Option("--rate", min=1.0, help="Ticks a second.")] = 200.0,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="Of each part.")] = 30.0,
    slowdown: Annotated[
        float, typer.Option("--slowdown", min=0.0, help="Seconds of computing added to a plan.")
    ] = 2.0,
    json_file: JsonFile = None,
) -> None:
    """Count the ticks that a slow planner costs: without one, in a thread, and in a process.

    Plans are made again without a pause. The controller has the planner in a process. Processors
    must have nothing else to do, or the ticks are late for that.

    Example: `gac bench planner --json planner.json`
    """
    from gac_ros.bench.planner import PLACES, goals, measure_ticks
    from gac_ros.embodiment import find_embodiment
    from gac_ros.evaluation.evaluate import load_checkpoint_for
    from gac_ros.evaluation.threads import one_thread

    checkpoint = load_checkpoint_for(find_embodiment(robot), None)
    with one_thread(), counted_progress(len(PLACES), "places of the planner") as advance:
        found = measure_ticks(
            checkpoint, rate=rate, seconds=seconds, slowdown=slowdown, on_place=advance
        )
    rows = []
    for ticks in found:
        times = (f"{value:.0f}" for value in ticks.microseconds)
        counts = (str(ticks.ticks), str(ticks.missed), str(ticks.looks))
        rows.append((ticks.planner, *counts, *times))
    print_table(
        f"From a tick to its action at {rate:g} Hz, planner slowed to {slowdown:g} s",
        ("planner", "ticks", "missed", "answers", "median µs", "p99 µs", "longest µs"),
        rows,
    )
    figures = {"ticks": [ticks.model_dump() for ticks in found]}
    conclude(goals(found, rate, slowdown), figures, json_file)
