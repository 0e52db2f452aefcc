"""Has a buffer directory kept within its bounds while episodes come in."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gac_ros.buffer.retention import RetentionPolicy
from gac_ros.nodes.background import run_gac

PERIOD = 60.0  # seconds between two looks
_AGING = 3600.0  # seconds after which episodes may be too old although none has come
_DAY = 86400.0


class Retention:
    """Removes episodes when new ones have come or old ones have aged, in a process of its own.

    Args:
        directory: the buffer directory.
        policy: its bounds.
        logger: of the node.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        directory: Path,
        policy: RetentionPolicy,
        logger: Any,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._policy = policy
        self._logger = logger
        self._clock = clock
        self._seen = -1  # when the directory had last changed when it was last pruned
        self._pruned = -math.inf  # when that was, by the clock
        self._problem = ""  # why the last prune failed; told once
        self._thread: threading.Thread | None = None

    def look(self) -> threading.Thread | None:
        """Prune if there may be something to remove; returns the thread that waits."""
        if self._thread is not None and self._thread.is_alive():
            return None
        try:
            changed = self._directory.stat().st_mtime_ns
        except OSError:
            return None  # nothing was recorded yet
        now = self._clock()
        aged = self._policy.max_age is not None and now - self._pruned >= _AGING
        if changed == self._seen and not aged:
            return None
        self._thread = threading.Thread(
            target=self._prune, args=(changed, now), name="episode-retention", daemon=True
        )
        self._thread.start()
        return self._thread

    def _prune(self, changed: int, now: float) -> None:
        options = prune_options(self._policy)
        process = run_gac("buffer", "prune", str(self._directory), *options, "--json")
        try:
            verdicts = json.loads(process.stdout)
        except ValueError:
            reason = process.stderr.strip().rsplit("\n", 1)[-1]
            if reason != self._problem:
                self._logger.error(f"the buffer is not kept within its bounds: {reason}")
            self._problem = reason
            return  # and try again at the next look: another process may have been at work there
        self._seen, self._pruned, self._problem = changed, now, ""
        removed = [verdict for verdict in verdicts if verdict["removed"]]
        if removed:
            size = sum(verdict["size"] for verdict in removed) / 2**20
            self._logger.info(f"removed {len(removed)} episodes of {size:.1f} MiB: retention")


def prune_options(policy: RetentionPolicy) -> list[str]:
    """Options of `gac buffer prune` for a policy."""
    bounds = {
        "--max-episodes": policy.max_episodes,
        "--max-age": None if policy.max_age is None else policy.max_age / _DAY,
        "--max-size": None if policy.max_bytes is None else policy.max_bytes / 2**20,
        "--keep-best": policy.keep_best,
        "--keep-newest": policy.keep_newest,
        "--first": policy.order,
    }
    given = [(name, value) for name, value in bounds.items() if value is not None]
    return [text for name, value in given for text in (name, str(value))]
