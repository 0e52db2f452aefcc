"""Has recordings that an earlier process left behind recovered, without holding up this one."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from gac_ros.buffer.writer import RECORDING
from gac_ros.nodes.background import run_gac


def start_repair(directory: Path, logger: Any) -> threading.Thread | None:
    """Start recovering the unfinished recordings of a buffer directory; the log tells of each.

    It is done by another process, so that the control loop never waits for it.

    Args:
        directory: the buffer directory.
        logger: of the node.

    Returns:
        The thread that waits for it; None when there is nothing to recover.
    """
    recording = directory / RECORDING
    if not (recording.is_dir() and any(recording.iterdir())):
        return None
    thread = threading.Thread(
        target=_repair, args=(directory, logger), name="episode-repair", daemon=True
    )
    thread.start()
    return thread


def _repair(directory: Path, logger: Any) -> None:
    process = run_gac("buffer", "repair", str(directory), "--unfinished", "--json")
    try:
        results = json.loads(process.stdout)
    except ValueError:
        reason = process.stderr.strip().rsplit("\n", 1)[-1]
        logger.error(f"recordings that were cut off are not recovered: {reason}")
        return
    for result in results:
        name, state = result["episode_id"], result["state"]
        if result["bag"]:
            logger.info(f"episode {name}, cut off earlier: {state}, {result['steps']} steps")
        else:
            logger.warning(f"episode {name}, cut off earlier: {state}: {result['problem']}")
