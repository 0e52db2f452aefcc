"""Progress and numbers on the terminal."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from gac_ros.evaluation.results import EpisodeResult

# Without a terminal about this many lines tell the progress, however many episodes there are.
_LINES = 20
_PIPE_WIDTH = 120


def make_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is: brackets in a path are no markup.

    Into a file or a pipe, where no window sets the width, tables have room.
    """
    from rich.console import Console

    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_WIDTH
    return console


class OnEpisode(Protocol):
    """Told of each finished episode."""

    def __call__(self, result: EpisodeResult) -> None:
        """Show it."""


def progress_bar(console: Console) -> Progress:
    """A bar with a count, times, and the task's field `last`; fits 80 columns if that is short."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[last]}"),
        console=console,
    )


@contextmanager
def episode_progress(episodes: int, doing: str) -> Iterator[OnEpisode]:
    """A progress bar on stderr; plain lines where stderr is no terminal.

    Args:
        episodes: how many there will be.
        doing: such as `running`.
    """
    console = make_console(stderr=True)
    if not console.is_terminal:
        yield _Lines(episodes, doing)
        return
    with progress_bar(console) as progress:
        task = progress.add_task(doing, total=episodes, last="")

        def advance(result: EpisodeResult) -> None:
            progress.update(task, advance=1, last=describe(result))

        yield advance


@contextmanager
def counted_progress(total: int, doing: str) -> Iterator[Callable[[], None]]:
    """A progress bar on stderr for things that only count; plain lines without a terminal.

    Args:
        total: how many there will be.
        doing: such as `importing`.
    """
    console = make_console(stderr=True)
    if console.is_terminal:
        with progress_bar(console) as progress:
            task = progress.add_task(doing, total=total, last="")
            yield lambda: progress.advance(task)
        return
    every = max(1, total // _LINES)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if done % every == 0 or done == total:
            typer.echo(f"{doing}: {done}/{total}", err=True)

    yield advance


class _Lines:
    def __init__(self, episodes: int, doing: str) -> None:
        self._episodes = episodes
        self._doing = doing
        self._every = max(1, episodes // _LINES)
        self._done = 0

    def __call__(self, result: EpisodeResult) -> None:
        self._done += 1
        if self._done % self._every == 0 or self._done == self._episodes:
            line = f"{self._doing}: episode {self._done}/{self._episodes}, {describe(result)}"
            typer.echo(line, err=True)


def describe(result: EpisodeResult) -> str:
    """One episode in a few words."""
    parts = [f"{result.length} steps"]
    if result.episode_return is not None:
        parts.append(f"return {result.episode_return:.1f}")
    if result.normalized_score is not None:
        parts.append(f"score {result.normalized_score:.1f}")
    return ", ".join(parts)


def help_without_command(context: typer.Context) -> None:
    """Show the help of a group of commands when none of them is named; exit code 2."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def command_line(context: typer.Context) -> str:
    """What the user typed, as `main` keeps it in the context."""
    return shlex.join(context.find_root().obj or [])
