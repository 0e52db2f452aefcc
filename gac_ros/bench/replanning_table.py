"""What `gac bench replanning` found, as a table and as a section of the page on control at rate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from gac_ros.bench.goals import damaged_measurement, measurement_origin, read_measurement
from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.replanning import Comparison

COLUMNS = (
    "case",
    "rule",
    "against",
    "episodes",
    "mean return",
    "difference [95 %]",
    "changes of plan",
)
_HEAD = """\
## Planning again during an episode

By `gac bench replanning`: mean return of the episodes of models that were packaged at the time (a
cell's `settings` name the checkpoint), and the mean difference between twins, which have the same
start, first plan and disturbance, with its bootstrap interval. A file may hold cells of several
runs; its commit is that of the last. [method.md](method.md), section 5, says what the rules are and
what follows from the figures.
"""


def replanning_rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """A row for each comparison, under `COLUMNS`."""
    rows = []
    for found in comparisons:
        against, interval = "", ""
        if found.rule != "never":
            against = found.against
            interval = f"{found.difference:+.1f} [{found.low:+.1f}, {found.high:+.1f}]"
        count, mean, changes = str(found.episodes), f"{found.mean:.1f}", f"{found.changes:.1f}"
        rows.append([found.case, found.rule, against, count, mean, interval, changes])
    return rows


def replanning_section(files: Sequence[Path]) -> Iterator[str]:
    """Lines of Markdown for the files of `gac bench replanning`; nothing when there are none.

    Raises:
        EpisodeError: a file is damaged.
    """
    if files:
        yield from (*_HEAD.splitlines(), "")
    for path in files:
        content = read_measurement(path)
        yield from (measurement_origin(path, content), "")
        try:
            comparisons = [Comparison.model_validate(entry) for entry in content["comparisons"]]
        except (KeyError, TypeError, ValidationError) as error:
            raise damaged_measurement(path, error) from error
        yield from markdown_table(COLUMNS, replanning_rows(comparisons))
