"""The closing table of an evaluation, for people."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gac_ros.evaluation.results import EpisodeResult, EvaluationResult

_UNKNOWN = "–"
_MILLISECONDS = 1e3


def print_report(result: EvaluationResult, console: Console) -> None:
    """Print one row an episode, the mean scores, and how to look at the bags."""
    console.print(_table(result))
    console.print(_means(result))
    for line in bag_hints([e.bag for e in result.episodes if e.bag is not None]):
        # Not wrapped, so that a path or a command can be copied.
        console.print(line, soft_wrap=True)


def _table(result: EvaluationResult) -> Table:
    run = result.run
    how = "over ROS 2" if run.transport == "ros" else "in-process"
    pace = "lock-step" if run.lock_step else "real time"
    acting = run.policy if run.mode is None else f"{run.policy}, {run.mode}"
    title = f"{run.robot}: {acting}, {how}, {pace}, seed {run.seed}"
    table = Table(title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("episode", justify="right")
    table.add_column("steps", justify="right")
    table.add_column("end")
    table.add_column("return", justify="right")
    table.add_column("score", justify="right")
    table.add_column("predicted", justify="right")
    table.add_column("latency p50 / p99", justify="right")
    for index, episode in enumerate(result.episodes):
        table.add_row(str(index + 1), *_cells(episode))
    return table


def _cells(episode: EpisodeResult) -> Iterator[str]:
    latency = episode.latency
    yield str(episode.length)
    yield "terminated" if episode.terminated else "truncated" if episode.truncated else _UNKNOWN
    yield _number(episode.episode_return)
    yield _number(episode.normalized_score)
    yield _number(episode.predicted_return)
    yield (
        _UNKNOWN
        if latency is None
        else (f"{latency.p50 * _MILLISECONDS:.2f} / {latency.p99 * _MILLISECONDS:.2f} ms")
    )


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.1f}"


def _means(result: EvaluationResult) -> Text:
    text = Text(f"mean return {_number(result.return_mean)}")
    if result.normalized_score_mean is not None:
        text.append(f", mean score {_number(result.normalized_score_mean)}", style="bold")
        interval = result.normalized_score_ci95
        if interval is not None:
            half = (interval[1] - interval[0]) / 2.0
            text.append(f" ± {half:.1f} (95 %, {len(result.scores)} episodes)")
        text.append("; 0 = random policy, 100 = expert")
    return text


def bag_hints(bags: list[Path]) -> Iterator[Text]:
    """Lines that say where bags lie and how to look at them."""
    if not bags:
        yield Text("No bags were recorded.")
        return
    folder, bag = bags[0].parent, bags[0]
    yield Text(f"Bags: {_short(folder)}")
    yield Text("Look at them:")
    for command, what in (
        (f"{_gac()} buffer ls {_quoted(folder)}", "the list of episodes"),
        (f"{_gac()} replay {_quoted(bag)}", "recompute the actions from the recorded inputs"),
        (f"ros2 bag info {_quoted(bag)}", "with a ROS 2 installation"),
    ):
        yield Text.assemble("  ", (command, "cyan"), f"  ({what})")
    yield Text("  Foxglove opens the .mcap file in a bag's folder.")


def _gac() -> str:
    """How to call the command line from here: by its path where it is not on PATH."""
    own = Path(sys.executable).with_name("gac")
    return "gac" if shutil.which("gac") or not own.exists() else _quoted(own)


def _quoted(path: Path) -> str:
    return shlex.quote(str(_short(path)))


def _short(path: Path) -> Path:
    """The path from the current folder where it lies below it."""
    current = Path.cwd()
    absolute = path.absolute()
    return absolute.relative_to(current) if absolute.is_relative_to(current) else path
