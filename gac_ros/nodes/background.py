"""Commands of `gac` that a node has run by processes of their own."""

from __future__ import annotations

import shutil
import subprocess
import sys


def run_gac(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a `gac` command that the control loop never waits for, nor its processor.

    Returns:
        The ended process with what it printed.
    """
    command = [*less_urgently(), sys.executable, "-m", "gac_ros.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def less_urgently() -> list[str]:
    """What to put before a command so that it yields to the node, whatever priority that has."""
    # The second without the first would mean nothing where this process has a real-time priority.
    wanted = (["chrt", "--other", "0"], ["nice", "-n", "10"])
    return [word for words in wanted if shutil.which(words[0]) for word in words]
