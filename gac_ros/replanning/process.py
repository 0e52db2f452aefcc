"""Has situations considered by a process of its own, which no control loop ever waits for.

A thread would not do: it takes turns with the control loop at Python's interpreter lock.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from gac_ros.errors import ConfigurationError, GacError
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.situation import Advice, Situation
from gac_ros.replanning.wire import decode_advice, encode_situation
from gac_ros.resources import PACKAGE_DIRECTORY

READY = b"ready"
LARGEST_MESSAGE = 2**17
_START_PATIENCE = 180.0  # seconds; PyTorch takes long to load on a busy machine
_END_PATIENCE = 5.0  # seconds


class PlanningProcess:
    """An `Advisor` in another process; it ends with this one, however that happens.

    Every method but `wait_until_ready` and `close` returns at once. Only one situation is under
    way at a time, so the socket never fills.

    Args:
        checkpoint: directory; must be the one that acts.
        device: where the model runs.
        config: of re-planning.
        threads: of PyTorch.
        slowdown: seconds of computing added to each answer, for tests and benchmarks.

    Attributes:
        at_once: never; the answer comes some steps later.
        failure: why no advice will come any more; empty while all is well.
    """

    at_once = False

    def __init__(
        self,
        checkpoint: Path,
        device: str,
        config: ReplanningConfig,
        *,
        threads: int = 1,
        slowdown: float = 0.0,
    ) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        settings = {
            "checkpoint": str(checkpoint),
            "device": device,
            "config": config.model_dump(),
            "threads": threads,
            "slowdown": slowdown,
        }
        paths = (str(PACKAGE_DIRECTORY.parent), os.environ.get("PYTHONPATH", ""))
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gac_ros.replanning.worker",
                    str(theirs.fileno()),
                    json.dumps(settings),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)},
                **_apart(),
            )
        self._socket = ours
        self._asked: Situation | None = None
        self._wanted = True
        self.failure = ""

    def __enter__(self) -> PlanningProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Wait until the model is loaded and warm.

        Raises:
            ConfigurationError: it did not start; its own words are on stderr.
        """
        self._socket.settimeout(_START_PATIENCE)
        try:
            word = self._socket.recv(LARGEST_MESSAGE)
        except OSError as error:
            raise _not_started(str(error)) from error
        if word != READY:
            raise _not_started("it ended")
        self._socket.setblocking(False)

    @property
    def busy(self) -> bool:
        """Whether a situation is being considered, or none will be any more."""
        return self._asked is not None or bool(self.failure)

    def ask(self, situation: Situation) -> None:
        """Have a situation considered; only when not busy."""
        try:
            self._socket.send(encode_situation(situation))
        except OSError as error:
            self.failure = _gone(str(error))
        else:
            self._asked, self._wanted = situation, True

    def answer(self) -> Advice | None:
        """The advice that has come, once; None when there is none yet."""
        if self._asked is None or self.failure:
            return None
        try:
            data = self._socket.recv(LARGEST_MESSAGE)
        except BlockingIOError:
            return None
        except OSError as error:
            data, reason = b"", str(error)
        else:
            reason = "it ended"
        if not data:
            self.failure = _gone(reason)
            return None
        asked, self._asked = self._asked, None
        advice = decode_advice(data, asked)
        return advice if self._wanted else None

    def forget(self) -> None:
        """What is being considered belongs to an episode that is over."""
        self._wanted = False

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_PATIENCE if self._asked is None else 0.0)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _apart() -> dict[str, Any]:
    """A terminal's Ctrl-C is for the control loop alone.

    A session of its own would do, too, but Linux shares the processors out among sessions first
    ("autogroups", see sched(7)): what is idle in one gives way to nobody in another.
    """
    return {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}


def _gone(reason: str) -> str:
    return f"the planning process is gone ({reason}); the plan stays as it is"


def _not_started(reason: str) -> GacError:
    return ConfigurationError(
        f"the planning process does not start ({reason}); what it said is on stderr. Set "
        "replanning.when to never to do without it"
    )
