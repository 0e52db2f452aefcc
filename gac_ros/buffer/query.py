"""Choose and sort episodes by what the index knows of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.errors import ConfigurationError


def _of_metadata(name: str) -> Callable[[EpisodeSummaryRow], Any]:
    return lambda row: None if row.metadata is None else getattr(row.metadata, name)


# Column to SQL type and value. `number` is the row's place.
_COLUMNS: dict[str, tuple[str, Callable[[EpisodeSummaryRow], Any]]] = {
    "episode_id": ("TEXT", lambda row: row.episode_id),
    "state": ("TEXT", lambda row: row.state),
    "robot": ("TEXT", lambda row: row.robot),
    "embodiment": ("TEXT", _of_metadata("embodiment_digest")),
    "policy": ("TEXT", lambda row: row.policy),
    "mode": ("TEXT", lambda row: row.mode),
    "checkpoint": ("TEXT", _of_metadata("checkpoint")),
    "checkpoint_digest": ("TEXT", _of_metadata("checkpoint_digest")),
    "seed": ("INTEGER", _of_metadata("seed")),
    "steps": ("INTEGER", lambda row: row.steps),
    "return": ("REAL", lambda row: row.episode_return),
    "predicted_return": ("REAL", lambda row: row.predicted_return),
    "terminated": ("INTEGER", _of_metadata("terminated")),
    "truncated": ("INTEGER", _of_metadata("truncated")),
    "outcome": ("TEXT", _of_metadata("outcome")),
    "faults": ("INTEGER", lambda row: row.faults),
    "safe_actions": ("INTEGER", _of_metadata("safe_actions")),
    "dropped_messages": ("INTEGER", _of_metadata("dropped_messages")),
    "overruns": ("INTEGER", _of_metadata("overruns")),
    "started": ("TEXT", _of_metadata("started")),
    "duration": ("REAL", _of_metadata("duration")),
    "size": ("INTEGER", lambda row: row.size),
    "path": ("TEXT", lambda row: str(row.path)),
    "problem": ("TEXT", lambda row: row.problem),
}
COLUMNS = tuple(_COLUMNS)


def column_values(row: EpisodeSummaryRow) -> dict[str, Any]:
    """Values of all `COLUMNS` of a row; None where unknown."""
    return {name: get(row) for name, (_, get) in _COLUMNS.items()}


def choose(
    rows: Sequence[EpisodeSummaryRow],
    *,
    where: str | None = None,
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
) -> list[EpisodeSummaryRow]:
    """Rows that fulfil a condition, sorted.

    Args:
        rows: to choose from.
        where: an SQL condition on `COLUMNS`, such as `return > 100 and mode = 'explore'`.
        sort: an SQL expression; None keeps the order. Rows without a value come last.
        descending: the largest first.
        limit: at most so many.

    Raises:
        ConfigurationError: the condition or the expression is wrong.
    """
    order = "number" if sort is None else f"({sort}) IS NULL, {sort}"
    try:
        # Of memory only: whatever is asked, nothing outside can be read or changed.
        with closing(sqlite3.connect(":memory:")) as connection:
            _fill(connection, rows)
            found = connection.execute(
                f"SELECT number FROM episodes WHERE ({where or 1}) "
                f"ORDER BY {order} {'DESC' if descending else 'ASC'}, number LIMIT ?",
                (-1 if limit is None else limit,),
            )
            return [rows[number] for (number,) in found]
    except (sqlite3.Error, sqlite3.Warning) as error:
        given = " ".join(text for text in (where, sort) if text)
        raise ConfigurationError(
            f"'{given}': {error}; give an SQL expression of {', '.join(COLUMNS)}"
        ) from error


def _fill(connection: sqlite3.Connection, rows: Sequence[EpisodeSummaryRow]) -> None:
    columns = ", ".join(f'"{name}" {kind}' for name, (kind, _) in _COLUMNS.items())
    connection.execute(f"CREATE TABLE episodes (number INTEGER PRIMARY KEY, {columns})")
    connection.executemany(
        f"INSERT INTO episodes VALUES ({', '.join('?' * (len(_COLUMNS) + 1))})",
        ((number, *column_values(row).values()) for number, row in enumerate(rows)),
    )
