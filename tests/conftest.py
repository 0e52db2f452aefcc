"""Settings that every test needs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# Two cores are shared by the tests, their ROS nodes and whatever else runs: more threads than one
# a process only wait for each other. Inherited by child processes; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--message-sequences",
        type=int,
        default=500,
        help="random message sequences through decoding and the safety stage (test_sequences.py)",
    )


@pytest.fixture
def signals_as_before() -> Iterator[None]:
    """Undo what `gac_ros.cli.main` does to the process when a test calls it."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
