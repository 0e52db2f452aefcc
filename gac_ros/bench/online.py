"""The page of online runs: goals, tables and pictures, from the files that are kept.

The page keeps its prose: what stands between the two markers is rendered from the files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from gac_ros.bench.markdown import markdown_table
from gac_ros.bench.online_comparison import (
    Difference,
    Interval,
    compared,
    difference,
    groups,
    lead,
    lead_by_episodes,
    leads,
)
from gac_ros.bench.online_goals import online_goals
from gac_ros.bench.online_records import OnlineRecord, read_records
from gac_ros.bench.score_goals import goal_table
from gac_ros.errors import ConfigurationError
from gac_ros.files import write_text
from gac_ros.online.plot import plot_rounds
from gac_ros.online.report import COLUMNS, row, with_interval
from gac_ros.online.results import RoundResult

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
_GOALS = """\
Of complete runs; rise and lead are paired over the reporting starts. In brackets the 95 % interval
(Student's t) over all starts of all seeds, which takes the starts of one training to be independent
and decides whether a goal is met; beside it that over the seeds' means, one value a seed, which a
few seeds leave wide. *met over the starts only*: the latter includes zero.
"""
_LEADS = """\
Exploring's last round is held against the other's first one that has had as many *robot steps*; in
the last column, as many episodes. Where episodes have no fixed length, as with a robot that falls,
that is not the same: of equal steps exploring then makes more episodes, and so more rounds of
training and of plan trials.
"""
_COUNTS = """\
*Robot steps* were collected and learned from; *simulated beside them*: steps of plan trials and of
the gate on tuning starts, which tell plans and models apart and are learned from in no other way.
"""


def write_figures(results: Path, page: Path) -> None:
    """Draw the picture and put the tables between the page's markers.

    Raises:
        ConfigurationError: no run is kept, the page has no markers, or matplotlib is missing.
        OutputError: a file cannot be written.
    """
    records = read_records(results)
    if not records:
        raise ConfigurationError(f"{results}: no run is kept there; name some with --runs")
    try:
        text = page.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        _, after = rest.split(END)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{page}: must have a line '{BEGIN}' and a line '{END}', between which the figures go"
        ) from error
    pictures = _draw(records, results)
    folder = results.relative_to(page.parent) if results.is_relative_to(page.parent) else results
    tables = [
        *(*_GOALS.splitlines(), "", *goal_table(online_goals(records), "robot")),
        *(*_summary(records), *_COUNTS.splitlines(), ""),
        *_comparisons(records),
        *_over_seeds(records),
        *_leads(records),
    ]
    lines = [BEGIN, "", *tables, *_details(records, [folder / name for name in pictures]), END]
    write_text(page, before + "\n".join(lines) + after)


def _draw(records: Sequence[OnlineRecord], results: Path) -> list[str]:
    """A picture a robot, as their returns have nothing in common; a colour for each method."""
    names = []
    for robot in dict.fromkeys(record.robot for record in records):
        names.append(f"returns_{Path(robot).stem}.png")
        runs = [(record.method, record.rounds) for record in records if record.robot == robot]
        plot_rounds(runs, results / names[-1])
    return names


def _summary(records: Sequence[OnlineRecord]) -> Iterator[str]:
    headings = (
        "run",
        "collected",
        "of",
        "robot steps",
        "simulated beside them",
        "at first",
        "at last",
        "rise (95 %)",
        "best round",
        "collected mean",
    )
    rows = []
    for record in records:
        first, last = record.rounds[0], record.rounds[-1]
        best = max(record.rounds, key=_exploited)
        returns = [v for r in record.rounds if r.collection for v in r.collection.returns]
        mean = f"{sum(returns) / len(returns):.1f}" if returns else "–"
        cells = [record.name, f"{record.collected:,}", _wanted(record)]
        cells += [f"{last.steps:,}", f"{last.gate_steps:,}"]
        exploited = [with_interval(r.exploitation) for r in (first, last, best)]
        rise = _over_starts(difference((first, last)))
        rows.append([*cells, *exploited[:2], rise, exploited[2], mean])
    yield from markdown_table(headings, rows)


def _comparisons(records: Sequence[OnlineRecord]) -> Iterator[str]:
    rows = [
        [
            pair.one.name,
            pair.other.name,
            " / ".join(dict.fromkeys(f"{r.steps:,}" for r in (pair.mine, pair.theirs))),
            f"{pair.mine.gate_steps:,} / {pair.theirs.gate_steps:,}",
            *(with_interval(r.exploitation) for r in (pair.mine, pair.theirs)),
            _over_starts(lead([pair])),
            _over_starts(lead_by_episodes([pair])),
        ]
        for pair in compared(records)
    ]
    if rows:
        yield from (*_LEADS.splitlines(), "")
        headings = (
            "exploring",
            "against",
            "robot steps",
            "simulated beside them",
            "exploring's",
            "the other's",
            "ahead (95 %)",
            "after as many episodes",
        )
        yield from markdown_table(headings, rows)


def _over_seeds(records: Sequence[OnlineRecord]) -> Iterator[str]:
    """Runs that differ in their seed alone: where they began and ended, and the rise."""
    rows = []
    for group in groups(records):
        if len(group) < 2:
            continue
        ends = [(record.rounds[0], record.rounds[-1]) for record in group]
        rise = difference(*ends)
        rows.append(
            [
                f"`{group[0].robot}`, {group[0].method}",
                ", ".join(str(record.seed) for record in group),
                _wanted(group[0]),
                *(_means([end[i] for end in ends]) for i in (0, 1)),
                _over_starts(rise),
                _over_seeds_alone(rise),
            ]
        )
    if rows:
        headings = (
            "over seeds",
            "seeds",
            "to collect",
            "at first, each",
            "at last, each",
            "rise (95 % over starts)",
            "95 % over seeds",
        )
        yield from markdown_table(headings, rows)


def _leads(records: Sequence[OnlineRecord]) -> Iterator[str]:
    """Comparisons that differ in their seed alone, taken together."""
    rows = []
    for pairs in leads(records):
        if len(pairs) < 2:
            continue
        ahead = lead(pairs)
        sides = [[getattr(pair, side) for pair in pairs] for side in ("mine", "theirs")]
        rows.append(
            [
                f"`{pairs[0].one.robot}`, {pairs[0].one.method}",
                pairs[0].other.method,
                ", ".join(str(pair.one.seed) for pair in pairs),
                " / ".join(dict.fromkeys(_span([r.steps for r in side]) for side in sides)),
                " / ".join(_span([result.gate_steps for result in side]) for side in sides),
                _over_starts(ahead),
                _over_seeds_alone(ahead),
                _over_starts(lead_by_episodes(pairs)),
            ]
        )
    if rows:
        headings = (
            "over seeds, exploring",
            "against",
            "seeds",
            "robot steps",
            "simulated beside them",
            "ahead (95 % over starts)",
            "95 % over seeds",
            "after as many episodes",
        )
        yield from markdown_table(headings, rows)


def _wanted(record: OnlineRecord) -> str:
    if record.wanted_steps is not None:
        return f"{record.wanted_steps:,} steps"
    return f"{record.wanted:,} episodes"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _means(results: Sequence[RoundResult]) -> str:
    return ", ".join(f"{_exploited(result):.1f}" for result in results)


def _over_starts(found: Difference | None) -> str:
    """The mean of a difference and its interval over the starts."""
    if found is None:
        return "–"
    return " ".join([f"{found.mean:+.1f}", *_interval(found.over_starts)])


def _over_seeds_alone(found: Difference | None) -> str:
    return "" if found is None else "".join(_interval(found.over_seeds)).strip("()")


def _interval(interval: Interval | None) -> list[str]:
    return [] if interval is None else [f"({interval[0]:.1f} to {interval[1]:.1f})"]


def _exploited(result: RoundResult) -> float:
    return -math.inf if result.exploitation is None else result.exploitation.return_mean


def _details(records: Sequence[OnlineRecord], pictures: Sequence[Path]) -> Iterator[str]:
    for picture in pictures:
        yield f"![returns over collected steps]({picture.as_posix()})"
        yield ""
    for record in records:
        commit = f", commit `{record.commit}`" if record.commit else ""
        yield f"**{record.name}**, `{record.command}`{commit}"
        yield ""
        yield from markdown_table(
            (*COLUMNS, "live"), [[*row(result), _live(result)] for result in record.rounds]
        )
        if record.training:
            done = record.training[-1]
            yield f"{done['updates']:.0f} gradient steps, {done['cpu']:.0f} s of processor time."
            yield ""


def _live(result: RoundResult) -> str:
    if result.live is None:
        return "–"
    return "confirmed" if result.live.kept else "rolled back"
