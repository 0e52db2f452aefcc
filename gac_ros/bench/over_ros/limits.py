"""Where the time goes where a goal is missed, in words, from what was measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gac_ros.bench.control import (
    HISTORY_STEPS,
    POLICY,
    WANTED_RATIO_STEP,
    DecisionReport,
    history_name,
    policy_name,
)
from gac_ros.bench.over_ros.jitter import MissedReport
from gac_ros.bench.over_ros.late import LateTick, count_causes, stood_still_told_apart
from gac_ros.bench.over_ros.latency import (
    ECHO,
    RECORDING,
    REPLANNING,
    WANTED_FIRST,
    WANTED_P50,
    WANTED_P99,
    LatencyReport,
    RoundTrip,
)
from gac_ros.bench.over_ros.machine import MachineLoad
from gac_ros.bench.over_ros.soak import (
    LARGEST_RISE,
    Sample,
    SoakReport,
    column,
    start_and_end,
)

_WAITING = (
    "Waiting is the larger part: the limit is how soon the kernel lets a thread run that wakes on "
    "a processor at work (docs/controller.md, Priority)."
)
_RUNNING = "Computing is the larger part."


def decision_limits(report: DecisionReport) -> Iterator[str]:
    """One line if a goal is missed."""
    if all(goal.met for goal in report.goals()):
        return
    policy, floor = report.of(POLICY).microseconds, report.floor_microseconds
    history = report.of(history_name(WANTED_RATIO_STEP)).microseconds
    steps = ", ".join(
        f"{spread.median:.0f} (lowest {spread.low:.0f}) at step {step}"
        for step in HISTORY_STEPS
        for spread in [report.of(policy_name(step)).microseconds]
    )
    yield (
        f"decision: {policy.median:.0f} µs, {policy.low:.0f} at the lowest. Reading the weights "
        f"takes {floor:.0f} (the memory floor); the rest is computing, calls, and what others on "
        f"the machine cost. Over an episode: {steps}. The whole history at step "
        f"{WANTED_RATIO_STEP}: {history.median:.0f} µs."
    )


def latency_limits(report: LatencyReport) -> Iterator[str]:
    """One line for each answerer and rate that misses a goal."""
    echoes = {trip.rate: trip for trip in report.trips if trip.name == ECHO}
    for trip in report.trips:
        met = trip.p50_ratio <= WANTED_P50 and trip.p99_ratio <= WANTED_P99
        if trip.name in (RECORDING, REPLANNING) and not met:
            yield _latency_limit(trip, echoes[trip.rate])
        if trip.first_ratio is not None and trip.first_ratio > WANTED_FIRST:
            yield (
                f"{trip.name}, {trip.rate:g} Hz: the first action of an episode took "
                f"{trip.first:.3f} ms of the controller's own, the median one {trip.inside_p50:.3f}"
                "; the bags hold the stamps of both, not where that time went."
            )


def _latency_limit(trip: RoundTrip, echo: RoundTrip) -> str:
    line = (
        f"{trip.name}, {trip.rate:g} Hz: p50 {trip.milliseconds.median:.3f} ms and p99 "
        f"{trip.milliseconds.p99:.3f} ms, the echo {echo.milliseconds.median:.3f} and "
        f"{echo.milliseconds.p99:.3f}."
    )
    numbers = (trip.ran, trip.waited, echo.ran, echo.waited)
    if None in numbers or trip.load is None or echo.load is None:
        return line
    ran, waited, echo_ran, echo_waited = (number or 0.0 for number in numbers)
    which = _WAITING if waited - echo_waited > ran - echo_ran else _RUNNING
    return (
        f"{line} In a tick its threads ran for {ran:.3f} ms (the echo's {echo_ran:.3f}) and waited "
        f"for a processor for {waited:.3f} ms (the echo's {echo_waited:.3f}), on average. {which} "
        f"{_load(trip.load)}, with the echo {_share(echo.load)}."
    )


def missed_limits(report: MissedReport) -> Iterator[str]:
    """One line if periods were missed with the slow planner."""
    if not (report.answerers and report.missed_slow):
        return
    echo, quick, slow = report.answerers
    yield (
        f"{slow.name}: {slow.missed} periods were missed in {slow.milliseconds.count} ticks, with "
        f"the {quick.name} {quick.missed} in {quick.milliseconds.count}, by the echo "
        f"{echo.missed} in {echo.milliseconds.count}. "
        f"{_causes(slow.late, slow.in_time_stood_still, report.witnessed)} "
        f"{_load(slow.load)}, with the echo {_share(echo.load)}."
    )


def soak_limits(report: SoakReport) -> Iterator[str]:
    """One line if periods were missed, and one if ticks got slower."""
    if report.missed and report.load:
        yield (
            f"Soak, {report.name}: {report.missed} periods were missed in {report.ticks} ticks. "
            f"{_causes(report.late, report.in_time_stood_still, report.witnessed)} "
            f"{_load(report.load)}."
        )
    if max(report.cpu_rise, report.latency_rise) > LARGEST_RISE:
        yield _rise_limit(report)


def _rise_limit(report: SoakReport) -> str:
    cpu = _from_to(report.samples, "cpu_microseconds", 0)
    latency = _from_to(report.samples, "median_milliseconds", 3)
    start, end = report.load_start, report.load_end
    others = (
        "What others had then was not recorded."
        if start is None or end is None
        else f"Others had {_share(start)} at the start and {_share(end)} at the end."
    )
    return (
        f"Soak, {report.name}: from the second tenth to the last, processor time a tick went from "
        f"{cpu} µs and latency from {latency} ms; together, if ticks cost more, and latency alone, "
        f"if they wait. {others}"
    )


def _from_to(samples: Sequence[Sample], name: str, digits: int) -> str:
    start, end = start_and_end(column(samples, name))
    return f"{start:.{digits}f} to {end:.{digits}f}"


def _causes(late: Sequence[LateTick], in_time_stood_still: float | None, witnessed: bool) -> str:
    counts = count_causes(late)
    who = "not all processors" if stood_still_told_apart(late) else "no processor"
    base = (
        ""
        if in_time_stood_still is None
        else f" ({100.0 * in_time_stood_still:.2f} % of those in time had as long a standstill)"
    )
    standstill = (
        f"{counts['standstill']} would have been in time if {who} had stood still{base}"
        if witnessed
        else "whether the machine stood still could not be seen (it takes a real-time priority)"
    )
    rest = counts["other"]
    own = f", and {rest} count as the controller's own, as neither explains them" if rest else ""
    slowest = f", {max(tick.ran for tick in late):.1f} ms of running at most" if late else ""
    return (
        f"Of the {len(late)} late commands {standstill}, {counts['waiting']} if the threads "
        f"that ask and answer had not waited for a processor{own}{slowest}."
    )


def _load(load: MachineLoad) -> str:
    return f"Others had {_share(load)}"


def _share(load: MachineLoad) -> str:
    return f"{load.others + load.stolen:.2f} of {load.processors} processors"
