"""The lifecycle benchmark, a few rounds of it: nothing is left open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_every_transition_in_every_order_leaves_nothing_open(tmp_path: Path) -> None:
    report = tmp_path / "lifecycle.json"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "lifecycle.py")]
    done = subprocess.run(
        [*command, "--rounds", "4", "--json", str(report)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    growth = json.loads(report.read_text())["growth"]
    assert max(growth.values()) <= 0
