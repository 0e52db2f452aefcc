"""What every import of episodes has in common: ids that repeat, and what came of it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.errors import OutputError


@dataclass(frozen=True)
class ImportReport:
    """What the import of a data set did.

    Attributes:
        imported: episodes written.
        present: episodes that an earlier import of the same data had written.
        steps: of the episodes written.
        returns: of those written that have one, float64.
        terminated: episodes written that the task ended.
        truncated: episodes written that something else ended.
        losses: what could not be kept, one line each.
    """

    imported: int
    present: int
    steps: int
    returns: NDArray[np.float64]
    terminated: int
    truncated: int
    losses: tuple[str, ...] = ()


def plain_name(name: str, *, otherwise: str) -> str:
    """A name as part of an episode's id: letters, digits, - and _."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name).strip("_-") or otherwise


def id_prefix(name: str, digest: str, embodiment: Embodiment) -> str:
    """What the ids of a data set's episodes begin with, the same at each import.

    Args:
        name: of the data set.
        digest: of its content.
        embodiment: that the episodes are given.
    """
    identity = hashlib.sha256(f"{digest} {embodiment.digest}".encode()).hexdigest()[:8]
    return f"{plain_name(name, otherwise='data')}-{identity}"


def all_present(out: Path, count: int, origin: Path | str) -> OutputError:
    """That an import has nothing to write."""
    return OutputError(
        f"{out}: holds all {count} episodes of {origin} already; choose another folder or leave it "
        "at that"
    )
