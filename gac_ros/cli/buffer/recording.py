"""Shows what the import of a recording did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gac_ros.cli.display import make_console
from gac_ros.errors import EpisodeError, OutputError

if TYPE_CHECKING:
    from rich.table import Table

    from gac_ros.buffer.importing.report import EpisodeRow, RecordingReport


def show_report(report: RecordingReport, *, as_json: bool, file: Path | None) -> None:
    """Print a report, and write it to a file as JSON if one is given.

    Raises:
        OutputError: the file cannot be written.
        EpisodeError: no episode came of the recording.
    """
    text = json.dumps(report.to_dict(), indent=2)
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"{file}: cannot be written ({error.strerror}); choose another --report"
            ) from error
    if as_json:
        typer.echo(text)
    else:
        _print(report)
    if report.count("left out") == len(report.episodes):
        raise EpisodeError(
            f"{report.recording}: no episode could be taken from it; the first was left out "
            f"because: {report.episodes[0].problem}"
        )


def _print(report: RecordingReport) -> None:
    console = make_console()
    console.print(_episode_table(report))
    for row in report.episodes:
        if row.problem:
            console.print(f"{row.episode_id}: left out: {row.problem}", soft_wrap=True)
        if row.unusable:
            console.print(
                f"{row.episode_id}: {row.steps - row.usable} steps cannot be learnt from "
                f"({_counts(row.unusable)})",
                soft_wrap=True,
            )
    console.print()
    console.print(_topic_table(report))
    if unused := {name: count for name, count in report.unused_topics.items() if count}:
        console.print(f"other topics: {_counts(unused)}", soft_wrap=True)
    if report.unknown_events:
        console.print(f"events not understood: {_counts(report.unknown_events)}", soft_wrap=True)
    if not report.has_rewards and not any(
        row.episode_return is not None for row in report.episodes
    ):
        console.print(
            "no rewards were recorded, so the episodes have no return: say it with gac buffer label"
        )
    if not report.has_checksums:
        console.print(
            "the recording has no checksums (MCAP can have them, sqlite3 cannot): a number that a "
            "disk has changed is not told from a true one",
            soft_wrap=True,
        )
    if not report.has_definitions:
        console.print(
            "the recording does not carry the definitions of its messages (sqlite3 has them since "
            "rosbag2 version 7): they are taken for those of ROS 2 Jazzy, unchecked",
            soft_wrap=True,
        )
    console.print(_total(report), soft_wrap=True)


def _total(report: RecordingReport) -> str:
    taken = [row for row in report.episodes if row.state == "imported"]
    text = "would import " if report.dry_run else ""
    text += f"{len(taken)} episodes"
    if present := report.count("present"):
        text += f" ({present} were there already)"
    text += f", {sum(row.steps for row in taken)} steps"
    if left_out := report.count("left out"):
        text += f"; {left_out} left out"
    return f"{text}; cut by {report.cut}"


def _episode_table(report: RecordingReport) -> Table:
    table = _table(report.recording)
    table.add_column("episode", no_wrap=True)
    for heading in ("start s", "length s", "steps", "usable", "held", "return"):
        table.add_column(heading, justify="right")
    table.add_column("end")
    table.add_column("state")
    for row in report.episodes:
        table.add_row(*_episode_cells(row))
    return table


def _episode_cells(row: EpisodeRow) -> tuple[str, ...]:
    return (
        row.episode_id,
        f"{row.start:.2f}",
        f"{row.duration:.2f}",
        str(row.steps),
        str(row.usable),
        str(row.held),
        "" if row.episode_return is None else f"{row.episode_return:.1f}",
        f"{row.ending} {row.outcome if row.outcome != 'unknown' else ''}".strip(),
        row.state,
    )


def _topic_table(report: RecordingReport) -> Table:
    table = _table("")
    table.add_column("topic", no_wrap=True)
    for heading in ("recorded", "used"):
        table.add_column(heading, justify="right")
    table.add_column("left out, and why", overflow="fold")
    for name, row in report.topics.items():
        notes = _counts(row.dropped)
        if row.surplus:
            notes += f"{'; ' if notes else ''}{row.surplus} of those used are no step, as they "
            notes += "came faster than the control rate"
        table.add_row(name, str(row.recorded), str(row.used), notes)
    return table


def _table(title: str) -> Table:
    from rich import box
    from rich.table import Table

    return Table(
        title=title or None,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def _counts(counts: object) -> str:
    assert isinstance(counts, dict)
    return ", ".join(f"{count} {name}" for name, count in counts.items())
