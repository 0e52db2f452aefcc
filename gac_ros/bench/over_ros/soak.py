"""Long runs: does memory grow, do decisions get slower, are ticks missed?"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.bench.over_ros.late import LateTick, in_time_stood_still, late_ticks
from gac_ros.bench.over_ros.latency import REPLANNING_WITHOUT_PAUSE
from gac_ros.bench.over_ros.machine import (
    LoadMeter,
    MachineLoad,
    Stalls,
    second_and_last_tenth,
)
from gac_ros.bench.over_ros.rig import ControllerUnderTest, open_rig
from gac_ros.bench.over_ros.stand import Exchanges, Stand
from gac_ros.bench.over_ros.subject import make_subject
from gac_ros.bench.over_ros.usage import RunQueue, Usage
from gac_ros.bench.over_ros.validity import (
    Answered,
    spoilt,
    spoilt_exchanges,
    validity_goals,
)
from gac_ros.bench.over_ros.witness import read_witnesses
from gac_ros.bench.spread import Spread

REAL_TIME_RATE = 200.0  # Hz
LARGEST_SLOPE = 4.0  # MiB per million ticks
LARGEST_RISE = 1.1
TELLING_TICKS = 100_000

_EPISODE_TICKS = 10_000
_FEWEST_EPISODES = 20
_FEWEST_TICKS = 10  # of an episode; fewer are not worth its start
_SAMPLES = 1000
_WARM_UP = 10  # ticks of an episode
# At first memory is allotted that later ticks use again.
_SETTLED = 0.1
_MEBIBYTE = 2**20


class Sample(BaseModel):
    """What was seen at the end of some ticks.

    Attributes:
        ticks: so far.
        resident: memory of the controller and its planning process in MiB.
        cpu_microseconds: of the controller, a tick, since the last sample.
        median_milliseconds: state to action, since the last sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ticks: int
    resident: float
    cpu_microseconds: float
    median_milliseconds: float


class SoakReport(Answered):
    """What a soak found.

    Attributes:
        ticks: in all.
        rate: of the states; None in lock-step.
        seconds: that it took.
        milliseconds: state to action.
        missed: periods that late commands overran; one command may overrun several.
            None in lock-step.
        slope: growth of the controller's memory, MiB per million ticks, from the end of the first
            tenth on, at the ends of episodes.
        resident_first: MiB after the first tenth.
        resident_last: MiB at the end.
        latency_rise: median latency of the last tenth over that of the second tenth.
        cpu_rise: likewise, of the controller's processor time a tick, which other work on the
            machine does not touch.
        threads: of the controller after the first tenth, and at the end.
        files: likewise, that it had open.
        samples: over the run.
        late: commands that were late; none in lock-step.
        witnessed: whether standstills of the machine could be seen.
        load: of the machine meanwhile.
        load_start: in the second tenth of the episodes.
        load_end: in the last tenth.
        in_time_stood_still: share of the ticks in time with as long a standstill of all processors
            as the shortest that excuses one that was late; None: none is excused.
    """

    ticks: int
    rate: float | None
    seconds: float
    milliseconds: Spread
    missed: int | None
    slope: float
    resident_first: float
    resident_last: float
    latency_rise: float
    cpu_rise: float
    threads: tuple[int, int]
    files: tuple[int, int]
    samples: list[Sample]
    late: tuple[LateTick, ...] = ()
    witnessed: bool = False
    load: MachineLoad | None = None
    load_start: MachineLoad | None = None
    load_end: MachineLoad | None = None
    in_time_stood_still: float | None = None

    @property
    def name(self) -> str:
        """Which soak it is."""
        return "lock-step" if self.rate is None else f"real time, {self.rate:g} Hz"

    def goals(self) -> list[SpeedGoal]:
        """Flat memory and latency; not one period missed, and no answer that does not count.

        A run of fewer than `TELLING_TICKS` is no word on memory: what is allotted once would count
        as growth. Its figures are shown all the same.
        """
        goals = []
        if self.ticks >= TELLING_TICKS:
            name = f"{self.name}: memory, MiB per million ticks"
            goals.append(at_most(name, self.slope, LARGEST_SLOPE))
        goals += [
            at_most(
                f"{self.name}: processor time a tick, end over start", self.cpu_rise, LARGEST_RISE
            ),
            at_most(f"{self.name}: latency, end over start", self.latency_rise, LARGEST_RISE),
        ]
        if self.missed is not None:
            goals.append(at_most(f"{self.name}: periods missed", self.missed, 0))
        return goals + validity_goals([self], f"{self.name}: ")


class _Course:
    """Takes samples as the ticks go by."""

    def __init__(self, controller: ControllerUnderTest) -> None:
        self._pid = controller.process.pid
        self._cpu = self.usage().cpu
        self.ticks = 0
        self.samples: list[Sample] = []
        self.ends: list[tuple[int, float]] = []  # of episodes: ticks so far, and MiB
        self.settled: Usage | None = None
        self.spoilt: Counter[str] = Counter()

    def usage(self) -> Usage:
        return Usage.of(self._pid)

    def add(self, found: Exchanges) -> None:
        self.ticks += len(found.seconds)
        usage = self.usage()
        self.samples.append(
            Sample(
                ticks=self.ticks,
                resident=usage.resident / _MEBIBYTE,
                cpu_microseconds=1e6 * (usage.cpu - self._cpu) / len(found.seconds),
                median_milliseconds=1e3 * float(np.median(found.seconds)),
            )
        )
        self._cpu = usage.cpu

    def end_episode(self, summary: dict[str, Any]) -> None:
        self.spoilt.update(spoilt([summary]))
        self.ends.append((self.ticks, self.usage().resident / _MEBIBYTE))


def soak_lock_step(
    folder: Path,
    *,
    ticks: int,
    device: str = "cpu",
    on_sample: Callable[[], None] = lambda: None,
) -> SoakReport:
    """Answer states as quickly as they come, in lock-step, recording.

    Interrupted after the first tenth, it reports the ticks so far.

    Args:
        folder: for logs and bags, which are deleted one by one.
        ticks: control ticks in all.
        device: where the model runs.
        on_sample: told of each sample; there are `sample_count(ticks)`.

    Raises:
        TransportError: a process ended or does not answer.
    """
    return _soak(folder, ticks, None, {"lock_step": True, "device": device}, on_sample)


def soak_real_time(
    folder: Path,
    *,
    minutes: float,
    device: str = "cpu",
    on_sample: Callable[[], None] = lambda: None,
) -> SoakReport:
    """Answer states at 200 Hz, recording and re-planning without pause; arguments as above."""
    ticks = max(1, round(60.0 * minutes * REAL_TIME_RATE))
    parameters = {"replanning": REPLANNING_WITHOUT_PAUSE, "device": device}
    return _soak(folder, ticks, REAL_TIME_RATE, parameters, on_sample)


def _soak(
    folder: Path,
    ticks: int,
    rate: float | None,
    parameters: dict[str, Any],
    on_sample: Callable[[], None],
) -> SoakReport:
    length = _episode_ticks(ticks)
    subject = make_subject(
        folder / "robot", rate=rate or REAL_TIME_RATE, length=length + 2 * _WARM_UP
    )
    every = _sample_ticks(ticks)
    found = Exchanges(None if rate is None else 1.0 / rate)
    meter = LoadMeter()
    begun = time.monotonic()
    with open_rig(folder / "logs") as rig:
        logs = [] if rate is None else rig.start_witnesses()
        controller = rig.start_controller("soaked", subject, folder / "episodes", **parameters)
        course = _Course(controller)
        try:
            while course.ticks < ticks:
                count = min(length, ticks - course.ticks)
                with meter.counting():
                    _episode(rig.stand, controller, count, every, course, found, on_sample)
                if course.settled is None and course.ticks >= _SETTLED * ticks:
                    course.settled = course.usage()
        except KeyboardInterrupt:
            # What an hour has shown is worth telling, even if more was wanted.
            if course.settled is None:
                raise
        last = course.usage()
        stalls = read_witnesses(logs)
    return _report(course, found, time.monotonic() - begun, rate, last, meter, stalls)


def sample_count(ticks: int) -> int:
    """How many samples a soak of that many ticks takes."""
    every = _sample_ticks(ticks)
    length = _episode_ticks(ticks)
    episodes, rest = divmod(ticks, length)
    return episodes * -(-length // every) + -(-rest // every)


def _sample_ticks(ticks: int) -> int:
    return min(max(1, ticks // _SAMPLES), _EPISODE_TICKS)


def _episode_ticks(ticks: int) -> int:
    """Memory rises and falls with each episode, so that some of them must be seen."""
    return min(_EPISODE_TICKS, max(_FEWEST_TICKS, -(-ticks // _FEWEST_EPISODES)))


def _episode(
    stand: Stand,
    controller: ControllerUnderTest,
    count: int,
    every: int,
    course: _Course,
    found: Exchanges,
    on_sample: Callable[[], None],
) -> None:
    controller.start_episode()
    stand.warm_up(controller.port, _WARM_UP, 1.0 / REAL_TIME_RATE)
    done = 0
    with RunQueue(controller.process.pid) as queue:
        watched = None if found.period is None else queue
        while done < count:
            part = stand.exchange(controller.port, min(every, count - done), found.period, watched)
            found.extend(part)
            course.add(part)
            done += len(part.seconds)
            on_sample()
    summary = controller.end_episode()
    course.end_episode(summary)
    # A long run must not fill the disk.
    shutil.rmtree(summary["bag"])


def _report(
    course: _Course,
    found: Exchanges,
    seconds: float,
    rate: float | None,
    last: Usage,
    meter: LoadMeter,
    stalls: list[Stalls] | None,
) -> SoakReport:
    settled = course.settled
    assert settled is not None
    ticks, resident = np.array(course.ends, dtype=np.float64).T
    later = ticks >= _SETTLED * course.ticks
    late = () if rate is None else tuple(late_ticks(found, stalls or ()))
    load_start, load_end = meter.start_and_end()
    return SoakReport(
        ticks=course.ticks,
        rate=rate,
        seconds=seconds,
        milliseconds=Spread.of(1e3 * np.array(found.seconds)),
        missed=None if rate is None else found.missed,
        slope=slope(ticks[later], resident[later]),
        resident_first=float(resident[later][0]),
        resident_last=float(resident[-1]),
        latency_rise=rise(column(course.samples, "median_milliseconds")),
        cpu_rise=rise(column(course.samples, "cpu_microseconds")),
        threads=(settled.threads, last.threads),
        files=(settled.files, last.files),
        samples=course.samples,
        late=late,
        witnessed=rate is not None and stalls is not None,
        load=meter.load(),
        load_start=load_start,
        load_end=load_end,
        in_time_stood_still=in_time_stood_still(found, stalls or (), late) if late else None,
        **course.spoilt,
        **spoilt_exchanges(found),
    )


def slope(ticks: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Growth of values per million ticks, by least squares; 0 for a single value."""
    if len(ticks) < 2:
        return 0.0
    return float(np.polyfit(ticks / 1e6, values, 1)[0])


def rise(values: NDArray[np.float64]) -> float:
    """Median of the last tenth over that of the second tenth."""
    start, end = start_and_end(values)
    return end / start if start > 0.0 else 1.0


def start_and_end(values: NDArray[np.float64]) -> tuple[float, float]:
    """Medians of the second and of the last tenth."""
    start, end = second_and_last_tenth(len(values))
    return float(np.median(values[start])), float(np.median(values[end]))


def column(samples: Sequence[Sample], name: str) -> NDArray[np.float64]:
    """One of the figures of all samples."""
    return np.array([getattr(sample, name) for sample in samples], dtype=np.float64)
