"""Goals of a measurement, and the JSON file that holds them beside the raw figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from gac_ros.bench.provenance import commit, processor, versions
from gac_ros.errors import EpisodeError
from gac_ros.files import write_text


class SpeedGoal(BaseModel):
    """A figure and the bound that it should keep.

    Attributes:
        name: what was measured, with its unit.
        value: the figure.
        goal: the bound, in words, such as "at least 20".
        met: whether the figure keeps it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    value: float
    goal: str
    met: bool


def at_least(name: str, value: float, bound: float) -> SpeedGoal:
    """A goal met from `bound` upwards."""
    return SpeedGoal(name=name, value=value, goal=f"at least {bound:.4g}", met=value >= bound)


def at_most(name: str, value: float, bound: float) -> SpeedGoal:
    """A goal met up to `bound`."""
    return SpeedGoal(name=name, value=value, goal=f"at most {bound:.4g}", met=value <= bound)


def write_measurement(path: Path, goals: Iterable[SpeedGoal], figures: dict[str, Any]) -> None:
    """Write goals, figures and where they come from as JSON.

    Raises:
        OutputError: the file cannot be written.
    """
    content = {
        "goals": [goal.model_dump() for goal in goals],
        "commit": commit(),
        "versions": versions(),
        "processor": processor(),
        **figures,
    }
    write_text(path, json.dumps(content, indent=1) + "\n")


def read_measurement(path: Path) -> dict[str, Any]:
    """What `write_measurement` wrote.

    Raises:
        EpisodeError: the file is damaged.
    """
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise damaged_measurement(path, error) from error


def damaged_measurement(path: Path, error: Exception) -> EpisodeError:
    """The error for a file that does not hold what it should."""
    reason = " ".join(str(error).split())
    return EpisodeError(f"{path}: cannot be read ({reason}); measure again with gac bench")


def measurement_origin(path: Path, content: dict[str, Any]) -> str:
    """A sentence on where a measurement comes from."""
    found = content.get("versions", {})
    device = f" device {content['device']}," if "device" in content else ""
    return (
        f"`{path.name}`: commit {content.get('commit')}, {content.get('processor')},{device} "
        f"Python {found.get('python')}, PyTorch {found.get('torch')}."
    )
