"""Processes that a node starts for work that can wait."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys
from gac_ros.nodes.background import less_urgently
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
except PermissionError:
    sys.exit("not permitted")
child = "import os; print(os.sched_getscheduler(0) == os.SCHED_OTHER, os.nice(0))"
print(subprocess.check_output([*less_urgently(), sys.executable, "-c", child], text=True))
"""


def test_they_give_up_a_real_time_priority() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    if "not permitted" in done.stderr:
        pytest.skip("needs the right to a real-time priority: root, or a limit for rtprio")
    niceness = min(19, os.nice(0) + 10)
    assert done.stdout.split() == ["True", str(niceness)], done.stderr
