"""The lifecycle benchmark, a few rounds of it: nothing is left open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import load_script

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def lifecycle() -> ModuleType:
    return load_script("lifecycle")


@pytest.mark.parametrize("kind", [(), ("--episodes",)], ids=["transitions", "episodes"])
def test_every_transition_in_every_order_leaves_nothing_open(
    tmp_path: Path, kind: tuple[str, ...]
) -> None:
    report = tmp_path / "lifecycle.json"
    command = [sys.executable, str(REPOSITORY / "benchmarks" / "lifecycle.py"), *kind]
    done = subprocess.run(
        [*command, "--rounds", "4", "--json", str(report)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    growth = json.loads(report.read_text())["growth"]
    assert max(growth.values()) <= 0
    assert {"threads", "processes", "files"} <= set(growth)


def test_children_and_their_children_are_counted_until_somebody_has_waited_for_them(
    lifecycle: ModuleType,
) -> None:
    before = lifecycle.descendants()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(["sh", "-c", "cat | cat"], text=True, **pipes) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        print("they run", file=child.stdin, flush=True)
        assert child.stdout.readline() == "they run\n"
        assert lifecycle.descendants() >= before + 2
        child.stdin.close()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not waited for
        assert lifecycle.descendants() == before + 1
    assert lifecycle.descendants() == before
