"""Settings that every test needs."""

from __future__ import annotations

import os

# Two cores are shared by the tests, their ROS nodes and whatever else runs: more threads than one
# a process only wait for each other. Inherited by child processes; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
