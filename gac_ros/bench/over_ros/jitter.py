"""How evenly the controller's commands come, and whether a slow planner makes it miss ticks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.bench.over_ros.late import LateTick, in_time_stood_still, late_ticks
from gac_ros.bench.over_ros.latency import ECHO, REPLANNING_WITHOUT_PAUSE
from gac_ros.bench.over_ros.machine import LoadMeter, MachineLoad, Stalls
from gac_ros.bench.over_ros.rig import ControllerUnderTest, Rig, open_rig
from gac_ros.bench.over_ros.stand import Exchanges
from gac_ros.bench.over_ros.subject import Subject, make_subject
from gac_ros.bench.over_ros.turns import turn_order
from gac_ros.bench.over_ros.usage import RunQueue
from gac_ros.bench.over_ros.validity import Answered, spoilt, spoilt_exchanges
from gac_ros.bench.over_ros.witness import read_witnesses
from gac_ros.bench.spread import Spread

RATE = 200.0  # Hz
IDLE = "otherwise idle"
LOADED = "one core loaded"
PRIORITY = "one core loaded, real-time priority"
JITTERS = (IDLE, LOADED, PRIORITY)
SLOW_PLANNER = 2.0  # s
QUICK = "planner as it is"
SLOW = f"planner of {SLOW_PLANNER:g} s a plan"

_TURN = 10.0  # s; several plans of the slow planner
_WARM_UP = 100  # ticks
_BUSY = "while True: pass"


class Jitter(Answered):
    """Periods between commands.

    Attributes:
        name: what else the machine did.
        seconds: how long it was watched.
        milliseconds: periods of the commands, as a subscriber sees them.
        skipped: periods that were too long by more than half of one.
    """

    name: str
    seconds: float
    milliseconds: Spread
    skipped: int


class JitterReport(BaseModel):
    """What `measure_jitter` found; the controller acts by its own timer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    jitters: list[Jitter]


class Answerer(Answered):
    """Who answered at 200 Hz, and what became of it.

    Attributes:
        name: of it.
        milliseconds: state to action.
        missed: periods that late commands overran; one command may overrun several.
        late: the commands that were.
        load: of the machine meanwhile.
        in_time_stood_still: share of the ticks in time with as long a standstill of all processors
            as the shortest that excuses one that was late; None: none is excused.
    """

    name: str
    milliseconds: Spread
    missed: int
    late: tuple[LateTick, ...]
    load: MachineLoad
    in_time_stood_still: float | None = None


class MissedReport(BaseModel):
    """Ticks missed while re-planning with a quick and with a slow planner.

    Attributes:
        ticks: with each of them.
        missed: periods, with the planner as it is.
        missed_slow: with the planner slowed down to `slow_seconds`.
        milliseconds: state to action with the planner as it is.
        milliseconds_slow: with the slow one.
        answerers: more of each, and of an echo that took its turns with them: what the machine
            lets nobody keep.
        witnessed: whether standstills of the machine could be seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rate: float
    slow_seconds: float
    ticks: int
    missed: int
    missed_slow: int
    milliseconds: Spread
    milliseconds_slow: Spread
    answerers: tuple[Answerer, ...] = ()
    witnessed: bool = False

    def goals(self) -> list[SpeedGoal]:
        """Not one period."""
        name = f"periods missed at {self.rate:g} Hz with a planner of {self.slow_seconds:g} s"
        return [at_most(name, self.missed_slow, 0)]


def measure_jitter(
    folder: Path,
    *,
    seconds: float,
    device: str = "cpu",
    on_second: Callable[[], None] = lambda: None,
) -> JitterReport:
    """Watch the commands of a controller that acts by its timer, with and without a busy core.

    Where it is permitted, once more with a real-time priority.

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
        for name in JITTERS:
            if name == PRIORITY and not controller.take_priority():
                break
            with _busy_core(name != IDLE):
                controller.start_episode()
                rig.stand.stream(controller.port, _WARM_UP, 1.0 / RATE)
                controller.port.arrivals.clear()
                for _ in range(max(1, round(seconds))):
                    count = round(RATE * min(1.0, seconds))
                    rig.stand.stream(controller.port, count, 1.0 / RATE)
                    on_second()
                lengths = np.diff(controller.port.arrivals)
                summary = controller.end_episode()
            found.append(
                Jitter(
                    name=name,
                    seconds=seconds,
                    milliseconds=Spread.of(1e3 * lengths),
                    skipped=int((lengths > 1.5 / RATE).sum()),
                    **spoilt([summary]),
                )
            )
    return JitterReport(rate=RATE, jitters=found)


def _start_planning(
    rig: Rig, subject: Subject, episodes: Path, slowdown: float, device: str
) -> ControllerUnderTest:
    """A controller that plans without pause, each plan `slowdown` seconds longer."""
    return rig.start_controller(
        f"planner_{slowdown:g}".replace(".", "_"),
        subject,
        episodes,
        device=device,
        replanning={**REPLANNING_WITHOUT_PAUSE, "slowdown": slowdown},
    )


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
        seconds: with the slow planner, and as long with a quick one and with an echo, in turns.
        device: where the model runs.
        on_turn: told of each finished turn; there are `missed_turns(seconds)`.

    Raises:
        TransportError: a process ended or does not answer.
    """
    count = round(RATE * min(_TURN, seconds))
    subject = make_subject(folder / "robot", rate=RATE, length=count + 2 * _WARM_UP)
    planners = {QUICK: 0.0, SLOW: SLOW_PLANNER}
    names = (ECHO, *planners)
    found = {name: Exchanges(1.0 / RATE) for name in names}
    summaries: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    meters = {name: LoadMeter() for name in names}
    with open_rig(folder / "logs") as rig:
        logs = rig.start_witnesses()
        echo = rig.start_echo("decoded")
        controllers = {
            name: _start_planning(rig, subject, folder / "episodes", slowdown, device)
            for name, slowdown in planners.items()
        }

        def turn(name: str) -> None:
            controller = controllers.get(name)
            answerer = controller or echo
            if controller:
                controller.start_episode()
            rig.stand.warm_up(answerer.port, _WARM_UP, 1.0 / RATE)
            with RunQueue(answerer.process.pid) as watched, meters[name].counting():
                part = rig.stand.exchange(answerer.port, count, 1.0 / RATE, watched)
            found[name].extend(part)
            if controller:
                summaries[name].append(controller.end_episode())

        for number in range(missed_turns(seconds)):
            for name in turn_order(names, number):
                turn(name)
            on_turn()
        stalls = read_witnesses(logs)
    answerers = tuple(
        _answerer(name, found[name], summaries[name], stalls or [], meters[name].load())
        for name in names
    )
    _, quick, slow = answerers
    return MissedReport(
        rate=RATE,
        slow_seconds=SLOW_PLANNER,
        ticks=slow.milliseconds.count,
        missed=quick.missed,
        missed_slow=slow.missed,
        milliseconds=quick.milliseconds,
        milliseconds_slow=slow.milliseconds,
        answerers=answerers,
        witnessed=stalls is not None,
    )


def _answerer(
    name: str,
    found: Exchanges,
    summaries: list[dict[str, Any]],
    processors: list[Stalls],
    load: MachineLoad,
) -> Answerer:
    late = tuple(late_ticks(found, processors))
    return Answerer(
        name=name,
        milliseconds=Spread.of(1e3 * np.array(found.seconds)),
        missed=found.missed,
        late=late,
        load=load,
        in_time_stood_still=in_time_stood_still(found, processors, late),
        **spoilt(summaries),
        **spoilt_exchanges(found),
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
