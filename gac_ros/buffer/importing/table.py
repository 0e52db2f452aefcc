"""A table of times, by hand or from another tool: where the episodes of a recording are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

from gac_ros.buffer.importing.cut import Cut, Window
from gac_ros.buffer.tables import flag, number, outcome, read_rows
from gac_ros.errors import ConfigurationError
from gac_ros.messages import NANOSECONDS

_COLUMNS = ("start", "end", "return", "outcome", "success", "terminated", "truncated")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def cut_by_table(path: Path, start: int) -> Cut:
    """Read the windows of a CSV file (with a head line) or a YAML file (a list of mappings).

    Columns: `start` and `end`, in seconds from the recording's first message, or as dates of
    ISO 8601; and, if wanted, `return`, `outcome` (or `success`), `terminated`, `truncated`. An
    episode of which neither terminated nor truncated is said counts as truncated.

    Args:
        path: the file.
        start: log time of the recording's first message, nanoseconds.

    Raises:
        ConfigurationError: the file cannot be read, or a row is wrong.
    """
    windows = []
    for place, row in enumerate(read_rows(path), start=1):
        try:
            windows.append(_window(row, start))
        except (ValueError, OverflowError) as error:
            raise ConfigurationError(f"{path}: row {place}: {error}") from error
    if not windows:
        raise ConfigurationError(f"{path}: holds no row; give one for each episode")
    order = sorted(range(len(windows)), key=lambda index: windows[index].start)
    for earlier, later in pairwise(order):
        if windows[later].start <= windows[earlier].end:
            raise ConfigurationError(
                f"{path}: rows {earlier + 1} and {later + 1} overlap; a message can belong to one "
                "episode only"
            )
    return Cut(tuple(windows[index] for index in order), {})


def _window(row: Mapping[Any, Any], start: int) -> Window:
    unknown = [key for key in row if key not in _COLUMNS]
    if unknown:
        raise ValueError(f"unknown column '{unknown[0]}'; there are {', '.join(_COLUMNS)}")
    values = {key: value for key, value in row.items() if value not in (None, "")}
    missing = [key for key in ("start", "end") if key not in values]
    if missing:
        raise ValueError(f"'{missing[0]}' is missing")
    begin, end = (_time(key, values[key], start) for key in ("start", "end"))
    if end <= begin:
        raise ValueError(f"the end {values['end']} is not after the start {values['start']}")
    terminated, truncated = (flag(key, values.get(key)) for key in ("terminated", "truncated"))
    return Window(
        start=begin,
        end=end,
        terminated=bool(terminated),
        truncated=not terminated if truncated is None else truncated,
        outcome=outcome(values) or "unknown",
        episode_return=number("return", values.get("return")),
    )


def _time(key: str, value: Any, start: int) -> int:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return _date(key, value)
    if not math.isfinite(seconds):
        raise ValueError(f"'{key}' is {value}")
    return start + round(seconds * NANOSECONDS)


def _date(key: str, value: Any) -> int:
    """Nanoseconds since 1970 of a date; without a time zone it is one of UTC."""
    try:
        # YAML has made it one already; Python 3.10 does not know the Z.
        moment = (
            value
            if isinstance(value, datetime)
            else datetime.fromisoformat(str(value).strip().replace("Z", "+00:00"))
        )
    except ValueError as error:
        raise ValueError(
            f"'{key}' is '{value}', neither seconds nor a date such as 2026-01-02T03:04:05.678Z"
        ) from error
    since = moment.replace(tzinfo=moment.tzinfo or timezone.utc) - _EPOCH
    return (since.days * 86400 + since.seconds) * NANOSECONDS + since.microseconds * 1000
