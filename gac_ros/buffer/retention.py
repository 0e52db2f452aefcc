"""Keep a buffer within bounds: which episodes may go, and their removal."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from gac_ros.buffer.leases import Hold, held_bags, holders_kept_out
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import METADATA_FILE
from gac_ros.errors import ConfigurationError, OutputError

REMOVED = ".pruned"

Order = Literal["worst", "oldest"]


@dataclass(frozen=True)
class RetentionPolicy:
    """What to keep of a buffer.

    Bounds are on complete episodes; recordings, damaged bags and originals of repairs do not count
    and are never removed. What is protected stays, even if a bound is then not kept.

    Attributes:
        max_episodes: at most so many; None: any number.
        max_age: none older than so many seconds; None: any age.
        max_bytes: together at most so many; None: any size.
        keep_best: the best so many of each robot are protected.
        keep_newest: the newest so many of each robot are protected.
        order: which go first when there are too many: those with the lowest return (unlabelled
            ones before all others, of equal ones the oldest), or the oldest.
    """

    max_episodes: int | None = None
    max_age: float | None = None
    max_bytes: int | None = None
    keep_best: int = 10
    keep_newest: int = 10
    order: Order = "worst"

    @property
    def bounded(self) -> bool:
        """Whether it ever lets an episode go."""
        return not (self.max_episodes is None and self.max_age is None and self.max_bytes is None)


@dataclass(frozen=True)
class Verdict:
    """An episode that goes, or one that a bound asks to go but that stays.

    Attributes:
        row: the episode.
        removed: whether it goes.
        reason: why it goes, or why it stays nevertheless.
    """

    row: EpisodeSummaryRow
    removed: bool
    reason: str


def judge(
    rows: Sequence[EpisodeSummaryRow],
    policy: RetentionPolicy,
    *,
    held: Mapping[str, Hold],
    now: float,
) -> list[Verdict]:
    """Which episodes go, in this order, and which stay although a bound asks for them.

    Args:
        rows: of one buffer directory.
        policy: what to keep.
        held: names of bags that a training run needs.
        now: seconds since the epoch.
    """
    usable = [row for row in rows if row.usable]
    protected = _protected(usable, policy, held)
    removed: dict[Path, Verdict] = {}
    kept: dict[Path, Verdict] = {}

    def ask(row: EpisodeSummaryRow, reason: str) -> None:
        why = protected.get(row.path)
        if why is None:
            removed[row.path] = Verdict(row, True, reason)
        else:
            kept.setdefault(row.path, Verdict(row, False, f"{reason}, but {why}"))

    if policy.max_age is not None:
        for row in sorted(usable, key=_started):
            if _started(row) < now - policy.max_age:
                ask(row, f"older than {policy.max_age / 86400:g} days")
    left = [row for row in usable if row.path not in removed]
    count, size = len(left), sum(row.size for row in left)
    for row in sorted(left, key=_oldest if policy.order == "oldest" else _worst):
        over = _over(policy, count, size)
        if not over:
            break
        ask(row, over)
        if row.path in removed:
            count, size = count - 1, size - row.size
    return [*removed.values(), *kept.values()]


def prune(
    directory: Path,
    policy: RetentionPolicy,
    *,
    dry_run: bool = False,
    on_removed: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Remove episodes until the bounds are kept.

    Args:
        directory: the buffer directory.
        policy: what to keep.
        dry_run: only say what would be done.
        on_removed: called after each episode.

    Returns:
        As `judge`.

    Raises:
        ConfigurationError: the directory is one bag.
        EpisodeError: it cannot be read.
        OutputError: it cannot be written, or another process prunes it.
    """
    directory = Path(directory)
    if (directory / METADATA_FILE).exists():
        raise ConfigurationError(f"{directory}: is one bag; give a folder of bags")
    rows = list_episodes(directory)
    if dry_run:
        return judge(rows, policy, held=held_bags(directory), now=time.time())
    try:
        with holders_kept_out(directory, wait=False) as alone:
            if not alone:
                raise OutputError(f"{directory}: another process is at work there; try again")
            # Only now: no lease can be added any more.
            verdicts = judge(rows, policy, held=held_bags(directory), now=time.time())
            shutil.rmtree(directory / REMOVED, ignore_errors=True)
            for verdict in verdicts:
                if verdict.removed:
                    _remove(directory, verdict.row.path)
                    if on_removed is not None:
                        on_removed(verdict)
    except OSError as error:
        raise OutputError(
            f"{directory}: cannot be written ({error.strerror}); check the permissions"
        ) from error
    return verdicts


def _remove(directory: Path, bag: Path) -> None:
    """Make a bag disappear at once, and only then delete it: nobody sees half a bag."""
    area = directory / REMOVED
    area.mkdir(exist_ok=True)
    aside = area / bag.name
    try:
        bag.rename(aside)
    except FileNotFoundError:
        return  # somebody else was quicker
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside)
    area.rmdir()


def _protected(
    rows: Sequence[EpisodeSummaryRow], policy: RetentionPolicy, held: Mapping[str, Hold]
) -> dict[Path, str]:
    """Why an episode must stay, for those that must."""
    by_robot: dict[str, list[EpisodeSummaryRow]] = {}
    for row in rows:
        by_robot.setdefault(row.robot, []).append(row)
    protected: dict[Path, str] = {}
    for group in by_robot.values():
        newest = sorted(group, key=_oldest)[max(0, len(group) - policy.keep_newest) :]
        protected |= dict.fromkeys(
            (row.path for row in newest), f"among the newest {policy.keep_newest}"
        )
        labelled = sorted((r for r in group if r.episode_return is not None), key=_worst)
        best = labelled[max(0, len(labelled) - policy.keep_best) :]
        protected |= dict.fromkeys((row.path for row in best), f"among the best {policy.keep_best}")
    for row in rows:
        need = held.get(row.path.name)
        if need is not None:
            state = "" if need.running else ", which was cut off"
            protected[row.path] = f"needed by the run {need.run}{state}"
    return protected


def _over(policy: RetentionPolicy, count: int, size: int) -> str:
    if policy.max_episodes is not None and count > policy.max_episodes:
        return f"more than {policy.max_episodes} episodes"
    if policy.max_bytes is not None and size > policy.max_bytes:
        return f"more than {policy.max_bytes / 2**20:g} MiB"
    return ""


def _oldest(row: EpisodeSummaryRow) -> tuple[float, str]:
    return _started(row), row.episode_id


def _worst(row: EpisodeSummaryRow) -> tuple[bool, float, float, str]:
    labelled = row.episode_return is not None
    return labelled, row.episode_return or 0.0, *_oldest(row)


def _started(row: EpisodeSummaryRow) -> float:
    """When an episode was recorded, seconds since the epoch."""
    assert row.metadata is not None, "only usable rows are judged"
    try:
        moment = datetime.fromisoformat(row.metadata.started.replace("Z", "+00:00"))
    except ValueError:
        # Of another tool: what cannot be placed in time counts as new, and is not deleted for age.
        return float("inf")
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
