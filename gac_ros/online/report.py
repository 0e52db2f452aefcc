"""The table of an online run: one row a round."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table

from gac_ros.online.results import Exploitation, RoundResult

_UNKNOWN = "–"
COLUMNS = (
    "round",
    "episodes",
    "collected",
    "y+",
    "Δy",
    "reached",
    "gate",
    "exploitation",
    "score",
)


def rounds_table(rounds: Sequence[RoundResult], title: str) -> Table:
    """All rounds; returns in the robot's units, exploitation with its 95 % interval."""
    # Without padding it fits into 80 columns.
    table = Table(title=title, box=box.SIMPLE_HEAD, padding=0)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for result in rounds:
        table.add_row(*row(result))
    return table


def row(result: RoundResult) -> list[str]:
    """Cells of a round, in the order of `COLUMNS`."""
    collection = result.collection
    cells = [str(result.round), str(result.episodes)]
    if collection is None:
        cells += [_UNKNOWN] * 4
    else:
        cells += [
            f"{collection.return_mean:.1f}",
            _known(collection.target_mean, ".1f"),
            _known(collection.increment, ".1f"),
            _known(collection.reached_share, ".0%").replace("%", " %"),
        ]
    gate = result.gate
    verdict = _UNKNOWN
    if gate is not None:
        verdict = f"{gate.difference:+.1f} {'new' if gate.accepted else 'kept'}"
    score = None
    if result.exploitation is not None:
        score = result.exploitation.normalized_score_mean
    return [
        *cells,
        verdict,
        with_interval(result.exploitation),
        _known(score, ".1f"),
    ]


def _known(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None else format(value, form)


def with_interval(exploitation: Exploitation | None) -> str:
    """Mean return ± half of the 95 % interval."""
    if exploitation is None:
        return _UNKNOWN
    text = f"{exploitation.return_mean:.1f}"
    if exploitation.return_ci95 is None:
        return text
    low, high = exploitation.return_ci95
    return f"{text} ± {(high - low) / 2.0:.1f}"
