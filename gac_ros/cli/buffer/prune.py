"""`gac buffer prune`: keep a folder of episodes within bounds."""

from __future__ import annotations

import json
from collections import Counter
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gac_ros.cli.buffer.options import Json
from gac_ros.cli.display import make_console

if TYPE_CHECKING:
    from gac_ros.buffer.retention import Verdict

_DAY = 86400.0


class First(str, Enum):
    """Which episodes go first."""

    WORST = "worst"
    OLDEST = "oldest"


def prune_buffer(
    directory: Annotated[Path, typer.Argument(help="Folder of bags.")],
    max_episodes: Annotated[
        int | None, typer.Option("--max-episodes", min=0, help="Keep at most so many.")
    ] = None,
    max_age: Annotated[
        float | None, typer.Option("--max-age", min=0.0, help="Keep none older, in days.")
    ] = None,
    max_size: Annotated[
        float | None, typer.Option("--max-size", min=0.0, help="Keep at most so many MiB.")
    ] = None,
    keep_best: Annotated[
        int, typer.Option("--keep-best", min=0, help="The best so many of each robot stay.")
    ] = 10,
    keep_newest: Annotated[
        int, typer.Option("--keep-newest", min=0, help="The newest so many of each robot stay.")
    ] = 10,
    first: Annotated[
        First,
        typer.Option(
            "--first",
            help="Which go first. worst: unlabelled ones, then those with the lowest return.",
        ),
    ] = First.WORST,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove episodes until the folder keeps the bounds given.

    Never removed are the best and the newest, and episodes that a training run needs: one that is
    going on, or was cut off in the last seven days and may be resumed. Recordings that are not
    complete, damaged bags and what repairs have put aside do not count.

    Example: `gac buffer prune episodes/umaze --max-size 2000 --keep-best 100 --dry-run`
    """
    from gac_ros.buffer.retention import RetentionPolicy, prune
    from gac_ros.errors import ConfigurationError

    policy = RetentionPolicy(
        max_episodes=max_episodes,
        max_age=None if max_age is None else max_age * _DAY,
        max_bytes=None if max_size is None else round(max_size * 2**20),
        keep_best=keep_best,
        keep_newest=keep_newest,
        order=first.value,
    )
    if not policy.bounded:
        raise ConfigurationError("no bound is given: --max-episodes, --max-age or --max-size")
    verdicts = prune(directory, policy, dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps([_dict(verdict, dry_run) for verdict in verdicts], indent=2))
        return
    console = make_console()
    for verdict in verdicts:
        if verdict.removed:
            done = "would go" if dry_run else "removed"
            console.print(f"{verdict.row.episode_id}: {done}: {verdict.reason}", soft_wrap=True)
    stays = Counter(verdict.reason for verdict in verdicts if not verdict.removed)
    for reason, count in stays.items():
        console.print(f"{count} kept: {reason}", soft_wrap=True)
    gone = [verdict.row for verdict in verdicts if verdict.removed]
    size = sum(row.size for row in gone) / 2**20
    console.print(
        f"{len(gone)} episodes of {size:.1f} MiB {'would be removed' if dry_run else 'removed'}"
    )


def _dict(verdict: Verdict, dry_run: bool) -> dict[str, object]:
    return {
        "episode_id": verdict.row.episode_id,
        "removed": verdict.removed and not dry_run,
        "chosen": verdict.removed,
        "reason": verdict.reason,
        "size": verdict.row.size,
    }
