"""Has recordings that an earlier process left behind recovered, without holding up this one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from gac_ros.buffer.writer import RECORDING


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
    command = [sys.executable, "-m", "gac_ros.cli", "buffer", "repair", str(directory)]
    # The second without the first would mean nothing where this process has a real-time priority.
    wanted = (["chrt", "--other", "0"], ["nice", "-n", "10"])
    behind = [word for words in wanted if shutil.which(words[0]) for word in words]
    process = subprocess.run(
        [*behind, *command, "--unfinished", "--json"], capture_output=True, text=True, check=False
    )
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
