"""`gac bench control`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.bench_training import JsonFile, print_goals
from gac_ros.cli.display import counted_progress, make_console

if TYPE_CHECKING:
    from gac_ros.bench.control import DecisionReport


def control(
    decision: Annotated[
        bool, typer.Option("--decision", help="The time of a decision (the only part so far).")
    ] = True,
    robot: Annotated[
        str, typer.Option("--robot", help="Whose sizes the model has; name or file.")
    ] = "hopper",
    config: Annotated[
        Path | None, typer.Option("--config", help="Training settings (*.yaml) of the model.")
    ] = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Rounds.")] = 10,
    json_file: JsonFile = None,
) -> None:
    """Measure control: one observation in, one action out, on one CPU thread.

    Against the same weights without a memory (a recompute of the context window, or of the whole
    history as LPT's evaluation does) and against the time that reading the weights takes.

    Example: `gac bench control --decision --json control-speed.json`
    """
    from gac_ros.bench.control import measure_decisions
    from gac_ros.bench.goals import write_measurement
    from gac_ros.embodiment import find_embodiment
    from gac_ros.evaluation.threads import one_thread
    from gac_ros.training.config import TrainingConfig, load_training_config

    del decision  # names the part; there is no other to choose
    settings = TrainingConfig() if config is None else load_training_config(config)
    model = settings.model_for(find_embodiment(robot))
    with one_thread(), counted_progress(repeats, "decisions, rounds") as advance:
        report = measure_decisions(model, repeats=repeats, on_round=advance)
    _print_decisions(report)
    goals = report.goals()
    print_goals(goals)
    if json_file is not None:
        write_measurement(
            json_file, goals, {"model": model.model_dump(), "decision": report.model_dump()}
        )
        make_console().print(f"Figures: {json_file}", soft_wrap=True)


def _print_decisions(report: DecisionReport) -> None:
    from rich.table import Table

    table = Table(
        "decision",
        "median µs",
        "p99 µs",
        "lowest µs",
        "times the policy's",
        title="One observation in, one action out",
        title_justify="left",
    )
    for entry in report.times:
        spread = entry.microseconds
        table.add_row(
            entry.name,
            f"{spread.median:.0f}",
            f"{spread.p99:.0f}",
            f"{spread.low:.0f}",
            f"{entry.ratio.median:.2f}",
        )
    table.add_row(
        f"memory floor: {report.weight_bytes / 1024:.0f} KiB at "
        f"{report.copy_bytes_per_second / 1e9:.1f} GB/s",
        f"{report.floor_microseconds:.0f}",
        "",
        "",
        "",
    )
    make_console().print(table)
