"""Tables that people write: CSV with a head line, or a YAML list of mappings."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import yaml

from gac_ros.episode import Outcome
from gac_ros.errors import ConfigurationError

_TRUE, _FALSE = ("1", "true", "yes"), ("0", "false", "no")


def read_rows(path: Path) -> list[Mapping[str, Any]]:
    """Rows of a table, by column.

    Raises:
        ConfigurationError: the file cannot be read, or is no table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); check the path") from error
    if path.suffix in (".yaml", ".yml"):
        try:
            rows = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError) as error:
            what = " ".join(str(error).split())
            raise ConfigurationError(f"{path}: not valid YAML: {what}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ConfigurationError(f"{path}: must be a list of mappings, one for each episode")
        return rows
    try:
        return list(csv.DictReader(io.StringIO(text), skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise ConfigurationError(f"{path}: not valid CSV: {error}") from error


def flag(key: str, value: Any) -> bool | None:
    """True or false, as people write it; None when nothing is said.

    Raises:
        ValueError: it is neither.
    """
    if value is None or isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise ValueError(f"'{key}' is '{value}', neither true nor false")
    return text in _TRUE


def outcome(values: Mapping[str, Any]) -> Outcome | None:
    """The verdict of a row, from its column `outcome` or `success`; None when nothing is said.

    Raises:
        ValueError: there is no such verdict.
    """
    if values.get("outcome") is not None:
        for known in get_args(Outcome):
            if values["outcome"] == known:
                return known
        raise ValueError(
            f"'outcome' is '{values['outcome']}', not one of {', '.join(get_args(Outcome))}"
        )
    success = flag("success", values.get("success"))
    if success is None:
        return None
    return "success" if success else "failure"


def number(key: str, value: Any) -> float | None:
    """A finite number; None when nothing is said.

    Raises:
        ValueError: it is none.
    """
    if value is None:
        return None
    try:
        found = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{key}' is '{value}', not a number") from error
    if not math.isfinite(found):
        raise ValueError(f"'{key}' is {value}")
    return found
