"""`gac bench buffer`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.bench_output import JsonFile, conclude, print_table
from gac_ros.cli.display import counted_progress

if TYPE_CHECKING:
    from gac_ros.bench.buffer.decoding import DecodingSpeed
    from gac_ros.bench.buffer.starting import StartReport


def buffer(
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Of the buffer that is loaded.")
    ] = 1_000_000,
    episode_steps: Annotated[
        int, typer.Option("--episode-steps", min=1, help="Of each of its episodes.")
    ] = 1000,
    messages: Annotated[
        int, typer.Option("--messages", min=100, help="Messages of each type to decode.")
    ] = 20_000,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Of decoding.")] = 5,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder", help="Keeps the data, some 1 KB a step. Default: a temporary one."
        ),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Measure the episode buffer: decoding against rosbags', and the start over a large buffer.

    The same data are loaded with rosbags alone and from Minari's HDF5 (needs minari), each in a
    process of its own; all must come to the same numbers.

    Example: `gac bench buffer --json buffer-speed.json`
    """
    from gac_ros.bench.buffer.decoding import measure_decoding
    from gac_ros.bench.buffer.starting import measure_starts
    from gac_ros.evaluation.threads import one_thread

    with one_thread(), counted_progress(6 * rounds, "decoding, rounds") as advance:
        speeds = measure_decoding(count=messages, rounds=rounds, on_round=advance)
    _print_decoding(speeds)
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(TemporaryDirectory(prefix="gac-bench-")))
        report = measure_starts(
            place,
            steps=steps,
            episode_steps=episode_steps,
            on_part=lambda part: typer.echo(part, err=True),
        )
    _print_starts(report)
    goals = [*(speed.goal() for speed in speeds), *report.goals()]
    figures = {"decoding": [s.model_dump() for s in speeds], "starting": report.model_dump()}
    conclude(goals, figures, json_file)


def _print_decoding(speeds: list[DecodingSpeed]) -> None:
    print_table(
        "Decoding: messages in a second of processor time, median of the rounds",
        ("message", "bytes", "numbers", "rosbags /s", "gac_ros /s", "times"),
        [
            (
                speed.type,
                str(speed.size),
                str(speed.numbers),
                f"{speed.rosbags.median:,.0f}",
                f"{speed.columns.median:,.0f}",
                f"{speed.ratio.median:.1f} ({speed.ratio.low:.1f} to {speed.ratio.high:.1f})",
            )
            for speed in speeds
        ],
    )


def _print_starts(report: StartReport) -> None:
    print_table(
        f"Loading {report.steps:,} steps in {report.episodes:,} episodes: bags of "
        f"{report.bag_bytes / 2**20:,.0f} MiB, decoded {report.table_bytes / 2**20:,.0f} MiB",
        ("way", "seconds", "CPU seconds", "memory MiB"),
        [
            (start.name, f"{start.wall:.2f}", f"{start.cpu:.2f}", f"{start.memory / 2**20:,.0f}")
            for start in report.starts
        ],
    )
