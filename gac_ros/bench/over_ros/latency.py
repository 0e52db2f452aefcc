"""From a state message to its action message, against a node that only echoes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.bench.over_ros.machine import LoadMeter, MachineLoad
from gac_ros.bench.over_ros.rig import Rig, open_rig
from gac_ros.bench.over_ros.stand import Exchanges
from gac_ros.bench.over_ros.subject import make_subject
from gac_ros.bench.over_ros.turns import turn_order
from gac_ros.bench.over_ros.usage import scheduled
from gac_ros.bench.over_ros.validity import Answered, spoilt, spoilt_exchanges
from gac_ros.bench.spread import Spread
from gac_ros.buffer.reader import DECISION, read_messages, read_metadata
from gac_ros.messages import deserialize

RATES = (50, 200, 500)  # Hz
ECHO = "echo"
RAW_ECHO = "echo of raw bytes"
RECORDING = "controller, recording"
REPLANNING = "controller, recording and re-planning"
REPLANNING_WITHOUT_PAUSE: dict[str, Any] = {"when": "periodic", "period": 1, "rest": 0}
WANTED_P50 = 1.5
WANTED_P99 = 2.0
# Own part of the first actions over the median of all; a first one as late as this is no rarity
# among the later ones.
WANTED_FIRST = 2.0
FIRST = "first action of an episode, own part, times the median's (the slowest controller)"

_BLOCK = 2.0  # s; the answerers take turns of this length
_WARM_UP = 25  # exchanges
_LATENCY = 2  # place in a decision's numbers


class RoundTrip(Answered):
    """State message to action message.

    Attributes:
        name: who answers.
        rate: states a second.
        milliseconds: of all exchanges.
        p50_ratio: median over the echo's.
        p99_ratio: 99th percentile over the echo's.
        missed: periods that late commands overran; one command may overrun several.
        inside_p50: median of the controller's own part, from the callback with the state to the end
            of the publish call, in milliseconds; None for an echo.
        first: likewise, of the episodes' first actions; their median.
        ran: processor time of all the answering process's threads, milliseconds a tick.
        waited: time that they were ready to run but had no processor, likewise.
        load: of the machine meanwhile.
    """

    name: str
    rate: float
    milliseconds: Spread
    p50_ratio: float
    p99_ratio: float
    missed: int
    inside_p50: float | None
    first: float | None = None
    ran: float | None = None
    waited: float | None = None
    load: MachineLoad | None = None

    @property
    def first_ratio(self) -> float | None:
        """The first actions' own part over that of all; None for an echo."""
        if self.first is None or self.inside_p50 is None:
            return None
        return self.first / self.inside_p50


class LatencyReport(BaseModel):
    """What `measure_latency` found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trips: list[RoundTrip]

    def goals(self) -> list[SpeedGoal]:
        """The round trip's goals."""
        goals = []
        for trip in self.trips:
            if trip.name in (RECORDING, REPLANNING):
                what = f"{trip.name}, {trip.rate:g} Hz, times the echo's"
                goals.append(at_most(f"p50: {what}", trip.p50_ratio, WANTED_P50))
                goals.append(at_most(f"p99: {what}", trip.p99_ratio, WANTED_P99))
        firsts = [trip.first_ratio for trip in self.trips if trip.first_ratio is not None]
        if firsts:
            goals.append(at_most(FIRST, max(firsts), WANTED_FIRST))
        return goals


def measure_latency(
    folder: Path,
    *,
    seconds: float,
    ticks: int,
    rates: tuple[float, ...] = RATES,
    device: str = "cpu",
    on_turn: Callable[[], None] = lambda: None,
) -> LatencyReport:
    """Let echoes and controllers answer in turns.

    Args:
        folder: for logs and bags.
        seconds: that each of them answers, at each rate.
        ticks: that each of them answers at least, however long that takes at a low rate.
        rates: states a second.
        device: where the model runs.
        on_turn: told of each finished turn; there are `turns(seconds, ticks, rates)`.

    Raises:
        TransportError: a process ended or does not answer.
    """
    trips: list[RoundTrip] = []
    for rate in rates:
        place = folder / f"latency-{rate:g}"
        with open_rig(place / "logs") as rig:
            trips += _at_rate(rig, place, rate, max(seconds, ticks / rate), device, on_turn)
    return LatencyReport(trips=trips)


def turns(seconds: float, ticks: int, rates: tuple[float, ...] = RATES) -> int:
    """How often `measure_latency` calls `on_turn`."""
    return sum(_rounds(max(seconds, ticks / rate)) for rate in rates)


def _rounds(seconds: float) -> int:
    return max(1, round(seconds / _BLOCK))


def _at_rate(
    rig: Rig,
    folder: Path,
    rate: float,
    seconds: float,
    device: str,
    on_turn: Callable[[], None],
) -> list[RoundTrip]:
    count = max(1, round(rate * min(seconds, _BLOCK)))
    subject = make_subject(folder / "robot", rate=rate, length=count + 2 * _WARM_UP)
    echoes = {ECHO: rig.start_echo("decoded"), RAW_ECHO: rig.start_echo("raw")}
    controllers = {
        RECORDING: rig.start_controller("recording", subject, folder / "episodes", device=device),
        REPLANNING: rig.start_controller(
            "replanning",
            subject,
            folder / "episodes",
            device=device,
            replanning=REPLANNING_WITHOUT_PAUSE,
        ),
    }
    names = (*echoes, *controllers)
    found = {name: _Found(Exchanges(1.0 / rate)) for name in names}

    def turn(name: str) -> None:
        controller = controllers.get(name)
        answerer = controller or echoes[name]
        if controller:
            controller.start_episode()
        rig.stand.warm_up(answerer.port, _WARM_UP, 1.0 / rate)
        before = scheduled(answerer.process.pid)
        with found[name].meter.counting():
            part = rig.stand.exchange(answerer.port, count, 1.0 / rate)
        found[name].scheduled += scheduled(answerer.process.pid) - before
        found[name].exchanges.extend(part)
        if controller:
            found[name].summaries.append(controller.end_episode())

    for number in range(_rounds(seconds)):
        for name in turn_order(names, number):
            turn(name)
        on_turn()
    reference = Spread.of(found[ECHO].exchanges.seconds)
    return [_trip(name, rate, found[name], reference) for name in names]


@dataclass
class _Found:
    """What an answerer's turns add up to; `scheduled` as `usage.scheduled`."""

    exchanges: Exchanges
    summaries: list[dict[str, Any]] = field(default_factory=list)
    meter: LoadMeter = field(default_factory=LoadMeter)
    scheduled: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))


def _trip(name: str, rate: float, found: _Found, echo: Spread) -> RoundTrip:
    summaries, exchanges = found.summaries, found.exchanges
    inside = [1e3 * summary["latency"]["p50"] for summary in summaries if summary["latency"]]
    firsts = [1e3 * _first_latency(Path(summary["bag"])) for summary in summaries]
    spread = Spread.of(exchanges.seconds)
    ran, waited = 1e3 * found.scheduled / len(exchanges.seconds)
    return RoundTrip(
        name=name,
        rate=rate,
        milliseconds=Spread.of([1e3 * value for value in exchanges.seconds]),
        p50_ratio=spread.median / echo.median,
        p99_ratio=spread.p99 / echo.p99,
        missed=exchanges.missed,
        **spoilt(summaries),
        **spoilt_exchanges(exchanges),
        inside_p50=sum(inside) / len(inside) if inside else None,
        first=float(np.median(firsts)) if firsts else None,
        ran=ran,
        waited=waited,
        load=found.meter.load(),
    )


def _first_latency(bag: Path) -> float:
    """Seconds that the first action of a recorded episode took."""
    topic = read_metadata(bag).topics[DECISION]
    first = next(message for message in read_messages(bag) if message.topic == topic)
    return float(deserialize(first.data, first.type).data[_LATENCY])
