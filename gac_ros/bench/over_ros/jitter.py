"""How evenly the controller's commands come, and whether a slow planner makes it miss ticks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.bench.over_ros.latency import REPLANNING_WITHOUT_PAUSE
from gac_ros.bench.over_ros.rig import open_rig
from gac_ros.bench.over_ros.stand import Exchanges
from gac_ros.bench.over_ros.subject import make_subject
from gac_ros.bench.spread import Spread

RATE = 200.0  # Hz
IDLE = "otherwise idle"
LOADED = "one core loaded"
SLOW_PLANNER = 2.0  # s

_TURN = 10.0  # s; several plans of the slow planner
_WARM_UP = 100  # ticks
_BUSY = "while True: pass"


class Jitter(BaseModel):
    """Periods between commands.

    Attributes:
        name: what else the machine did.
        seconds: how long it was watched.
        milliseconds: periods of the commands, as a subscriber sees them.
        skipped: periods that were too long by more than half of one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    seconds: float
    milliseconds: Spread
    skipped: int


class JitterReport(BaseModel):
    """What `measure_jitter` found; the controller acts by its own timer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    jitters: list[Jitter]


class MissedReport(BaseModel):
    """Ticks missed while re-planning with a quick and with a slow planner.

    Attributes:
        ticks: with each of them.
        missed: with the planner as it is.
        missed_slow: with the planner slowed down to `slow_seconds`.
        milliseconds: state to action with the planner as it is.
        milliseconds_slow: with the slow one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    slow_seconds: float
    ticks: int
    missed: int
    missed_slow: int
    milliseconds: Spread
    milliseconds_slow: Spread

    def goals(self) -> list[SpeedGoal]:
        """Not one tick."""
        name = f"ticks missed at {self.rate:g} Hz with a planner of {self.slow_seconds:g} s"
        return [at_most(name, self.missed_slow, 0)]


def measure_jitter(
    folder: Path,
    *,
    seconds: float,
    device: str = "cpu",
    on_second: Callable[[], None] = lambda: None,
) -> JitterReport:
    """Watch the commands of a controller that acts by its timer, with and without a busy core.

    Args:
        folder: for logs and bags.
        seconds: of each.
        device: where the model runs.
        on_second: told of each second watched.

    Raises:
        TransportError: a process ended or does not answer.
    """
    found = []
    ticks = round(seconds * RATE)
    subject = make_subject(folder / "robot", rate=RATE, length=2 * ticks + 10 * _WARM_UP)
    with open_rig(folder / "logs") as rig:
        controller = rig.start_controller(
            "timed", subject, folder / "episodes", device=device, tick="timer"
        )
        for name in (IDLE, LOADED):
            with _busy_core(name == LOADED):
                controller.start_episode()
                rig.stand.stream(controller.port, _WARM_UP, 1.0 / RATE)
                arrivals = []
                for _ in range(max(1, round(seconds))):
                    count = round(RATE * min(1.0, seconds))
                    arrivals.append(rig.stand.stream(controller.port, count, 1.0 / RATE))
                    on_second()
                controller.end_episode()
            lengths = np.concatenate([np.diff(part) for part in arrivals])
            found.append(
                Jitter(
                    name=name,
                    seconds=seconds,
                    milliseconds=Spread.of(1e3 * lengths),
                    skipped=int((lengths > 1.5 / RATE).sum()),
                )
            )
    return JitterReport(rate=RATE, jitters=found)


def measure_missed(
    folder: Path,
    *,
    seconds: float,
    device: str = "cpu",
    on_turn: Callable[[], None] = lambda: None,
) -> MissedReport:
    """Count ticks that a controller misses while a planner of 2 s plans without pause.

    Args:
        folder: for logs and bags.
        seconds: with the slow planner, and as long without, in turns.
        device: where the model runs.
        on_turn: told of each finished turn; there are `missed_turns(seconds)`.

    Raises:
        TransportError: a process ended or does not answer.
    """
    count = round(RATE * min(_TURN, seconds))
    subject = make_subject(folder / "robot", rate=RATE, length=count + 2 * _WARM_UP)
    found = {name: Exchanges(1.0 / RATE) for name in ("quick", "slow")}
    with open_rig(folder / "logs") as rig:
        controllers = {
            name: rig.start_controller(
                name,
                subject,
                folder / "episodes",
                device=device,
                replanning={**REPLANNING_WITHOUT_PAUSE, "slowdown": slowdown},
            )
            for name, slowdown in (("quick", 0.0), ("slow", SLOW_PLANNER))
        }
        for _ in range(missed_turns(seconds)):
            for name, controller in controllers.items():
                controller.start_episode()
                rig.stand.warm_up(controller.port, _WARM_UP, 1.0 / RATE)
                found[name].extend(rig.stand.exchange(controller.port, count, 1.0 / RATE))
                controller.end_episode()
            on_turn()
    return MissedReport(
        rate=RATE,
        slow_seconds=SLOW_PLANNER,
        ticks=len(found["slow"].seconds),
        missed=found["quick"].missed,
        missed_slow=found["slow"].missed,
        milliseconds=Spread.of(1e3 * np.array(found["quick"].seconds)),
        milliseconds_slow=Spread.of(1e3 * np.array(found["slow"].seconds)),
    )


def missed_turns(seconds: float) -> int:
    """How often `measure_missed` calls `on_turn`."""
    return max(1, round(seconds / _TURN))


@contextmanager
def _busy_core(busy: bool) -> Iterator[None]:
    """Something else that takes all it can get of one core."""
    if not busy:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.kill()
