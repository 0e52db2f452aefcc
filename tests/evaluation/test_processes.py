"""Child processes and ROS domains."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gac_ros.errors import OutputError, TransportError
from gac_ros.evaluation import processes
from gac_ros.evaluation.processes import ChildProcess, reserved_domain, ros_environment


@contextmanager
def child(code: str, folder: Path) -> Iterator[ChildProcess]:
    """Runs `code`, which has to print `ready` once it may be signalled."""
    (folder / "the_child.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONUNBUFFERED": "1"}
    process = ChildProcess("helper", "the_child", [], folder / "log", environment)
    try:
        yield process
    finally:
        process.end()


def wait_for_output(process: ChildProcess, text: str) -> None:
    while text not in process.log.read_text():
        process.require_running()


def wait_for_end(process: ChildProcess) -> TransportError:
    while True:
        try:
            process.require_running()
        except TransportError as error:
            return error


def test_a_child_that_ends_is_named_with_its_log_and_its_last_line(tmp_path: Path) -> None:
    with child("print('first')\nprint('it broke')\nraise SystemExit(3)", tmp_path) as process:
        text = str(wait_for_end(process))
    assert "helper ended with exit code 3" in text
    assert str(tmp_path / "log") in text
    assert text.endswith("ends with: it broke")


def test_a_child_that_is_killed_is_named_with_the_signal(tmp_path: Path) -> None:
    with child("print('ready')\ninput_ = open('/dev/zero')\nwhile True: pass", tmp_path) as process:
        wait_for_output(process, "ready")
        os.kill(process.pid, signal.SIGKILL)
        assert "was ended by SIGKILL" in str(wait_for_end(process))


def test_a_child_that_ignores_signals_is_killed_at_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", (0.05, 0.05))
    code = (
        "import signal\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, signal.SIG_IGN)\n"
        "print('ready')\n"
        "signal.pause()\n"
        "signal.pause()\n"
    )
    with child(code, tmp_path) as process:
        wait_for_output(process, "ready")
        process.end()
        assert "was ended by SIGKILL" in str(wait_for_end(process))


def test_a_log_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        ChildProcess("helper", "this", [], tmp_path / "missing" / "log", os.environ)


def test_two_evaluations_get_different_domains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    with reserved_domain() as first, reserved_domain() as second:
        assert first is not None
        assert second is not None
        assert first != second
        # Never one whose ports reach into those of outgoing connections.
        assert {int(first), int(second)} <= set(range(1, 101))


def test_the_domain_that_the_user_has_set_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    monkeypatch.setenv("ROS_LOG_DIR", "/somewhere")
    with reserved_domain() as domain:
        assert domain is None
        assert ros_environment(domain, Path("logs")) == {}


def test_all_domains_taken_is_an_error_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setattr(processes, "_DOMAINS", range(99, 100))
    refused = pytest.raises(TransportError, match="ROS_DOMAIN_ID")
    with reserved_domain(), refused, reserved_domain():
        pytest.fail("the only domain was given out twice")
