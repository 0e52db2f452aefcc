"""Child processes of an evaluation: started with a log file, watched, and always ended."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gac_ros.errors import OutputError, TransportError
from gac_ros.resources import PACKAGE_DIRECTORY

# How long a child may take to end after SIGINT and then SIGTERM, in seconds. A controller that is
# interrupted completes its bag first.
_PATIENCE = (15.0, 5.0)
# DDS ports of a domain start at 7400 + 250 * domain. Above domain 100 they reach into the range
# from which Linux takes ports for outgoing connections.
_DOMAINS = range(1, 101)
_FIRST_PORT = 7400
_PORTS_PER_DOMAIN = 250
# The unicast port of a domain's first participant, and the last port, which no participant uses
# before there are 120 of them.
_PARTICIPANT_PORT = 10
_LOCK_PORT = 249


class ChildProcess:
    """A Python module as a child process in a process group of its own.

    A terminal's Ctrl-C therefore reaches this process only, which then ends its children in order.

    Attributes:
        name: for messages.
        log: where its output goes.
    """

    def __init__(
        self, name: str, module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]
    ) -> None:
        """Start it.

        Raises:
            OutputError: the log cannot be written.
        """
        self.name = name
        self.log = log
        self._interrupted = False
        try:
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", module, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env=dict(env),
                    start_new_session=True,
                )
        except OSError as error:
            raise OutputError(
                f"{log}: cannot be written ({error.strerror or error}); choose another --out"
            ) from error

    @property
    def pid(self) -> int:
        """Its process id, which is its group's, too."""
        return self._process.pid

    def require_running(self) -> None:
        """Do nothing while it runs.

        Raises:
            TransportError: it has ended.
        """
        code = self._process.poll()
        if code is None:
            return
        how = f"ended with exit code {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        raise TransportError(f"{self.name} {how}; {self.last_words()}")

    def last_words(self) -> str:
        """Where the log is and how it ends, for error messages."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            lines = []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"its log {self.log} " + (f"ends with: {last}" if last else "is empty")

    def interrupt(self) -> None:
        """Ask it to end, once, without waiting."""
        if not self._interrupted:
            self._interrupted = True
            self._signal(signal.SIGINT)

    def end(self) -> None:
        """End it: by SIGINT, then SIGTERM, and at last, or when interrupted, SIGKILL."""
        try:
            for ask, patience in zip((self.interrupt, self._terminate), _PATIENCE, strict=True):
                ask()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(patience)
                    return
        finally:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        # Not once it was waited for: another process may have its id by then.
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


def child_environment(ros: Mapping[str, str]) -> dict[str, str]:
    """Environment of the children: this process's, with the variables of `ros_environment`."""
    env = dict(os.environ)
    # The package may run from a checkout that is not installed.
    paths = (str(PACKAGE_DIRECTORY.parent), env.get("PYTHONPATH", ""))
    env["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    env["PYTHONUNBUFFERED"] = "1"
    env |= ros
    return env


def ros_environment(domain: str | None, logs: Path) -> dict[str, str]:
    """ROS variables to set: one domain of this machine alone; what the user has set stays.

    Args:
        domain: ROS domain; None leaves what the user has set.
        logs: where ROS writes its own logs, instead of the home folder.
    """
    variables = {} if domain is None else {"ROS_DOMAIN_ID": domain}
    defaults = {
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str((logs / "ros").absolute()),
    }
    return variables | {key: value for key, value in defaults.items() if key not in os.environ}


@contextmanager
def reserved_domain() -> Iterator[str | None]:
    """A ROS domain that nobody on this machine uses; None when the user has chosen one.

    It is held, against other evaluations, by a bound UDP port.

    Raises:
        TransportError: all are in use.
    """
    if "ROS_DOMAIN_ID" in os.environ:
        yield None
        return
    # In random order, so that evaluations that start together seldom try the same one.
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        lock = _reserve(domain)
        if lock is not None:
            with lock:
                yield str(domain)
            return
    raise TransportError(
        f"ROS domains {_DOMAINS[0]} to {_DOMAINS[-1]} are all in use; set ROS_DOMAIN_ID yourself"
    )


def _reserve(domain: int) -> socket.socket | None:
    first = _FIRST_PORT + _PORTS_PER_DOMAIN * domain
    lock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        lock.bind(("", first + _LOCK_PORT))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("", first + _PARTICIPANT_PORT))
    except OSError:
        lock.close()
        return None
    return lock
