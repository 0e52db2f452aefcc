"""What `gac bench control` and `gac bench soak` found, as tables of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gac_ros.bench.control import DecisionReport, DecisionTime
from gac_ros.bench.goals import SpeedGoal
from gac_ros.bench.over_ros.jitter import JitterReport, MissedReport
from gac_ros.bench.over_ros.late import LateTick, count_causes, stood_still_told_apart
from gac_ros.bench.over_ros.latency import LatencyReport
from gac_ros.bench.over_ros.machine import MachineLoad
from gac_ros.bench.over_ros.soak import SoakReport
from gac_ros.bench.planning import PlanReport
from gac_ros.bench.spread import Spread


@dataclass(frozen=True)
class TextTable:
    """A title, the columns' heads, and rows as long as the columns are many."""

    title: str
    columns: tuple[str, ...]
    rows: list[list[str]]


def decision_table(report: DecisionReport) -> TextTable:
    """One row a way to decide."""
    rows = _decision_rows(report.times)
    floor = (
        f"memory floor: {report.weight_bytes / 1024:.0f} KiB at "
        f"{report.copy_bytes_per_second / 1e9:.1f} GB/s"
    )
    rows.append([floor, f"{report.floor_microseconds:.0f}", "", "", ""])
    if report.copies is not None:
        rows.append([f"host-device copies a decision: {report.copies:g}", "", "", "", ""])
    place = f", on {report.device}" if report.device else ""
    return TextTable(f"One observation in, one action out{place}", _DECISION_COLUMNS, rows)


def runtimes_table(times: Sequence[DecisionTime]) -> TextTable:
    """One row a runtime."""
    return TextTable("Runtimes", _DECISION_COLUMNS, _decision_rows(times))


_DECISION_COLUMNS = ("decision", "median µs", "p99 µs", "lowest µs", "times the policy's")


def _decision_rows(times: Sequence[DecisionTime]) -> list[list[str]]:
    return [
        [
            entry.name,
            f"{entry.microseconds.median:.0f}",
            f"{entry.microseconds.p99:.0f}",
            f"{entry.microseconds.low:.0f}",
            f"{entry.ratio.median:.2f}",
        ]
        for entry in times
    ]


def plan_table(report: PlanReport) -> TextTable:
    """One row a way to plan."""
    rows = [
        [
            entry.name,
            f"{entry.milliseconds.median:.1f}",
            f"{entry.milliseconds.p99:.1f}",
            f"{entry.milliseconds.low:.1f}",
        ]
        for entry in report.times
    ]
    return TextTable("A plan", ("plan", "median ms", "p99 ms", "lowest ms"), rows)


def latency_table(report: LatencyReport) -> TextTable:
    """One row an answerer, at each rate."""
    rows = [
        [
            f"{trip.rate:g}",
            trip.name,
            *_milliseconds(trip.milliseconds),
            f"{trip.p50_ratio:.2f}",
            f"{trip.p99_ratio:.2f}",
            str(trip.milliseconds.count),
            str(trip.missed),
            trip.invalid_in_words,
            "" if trip.inside_p50 is None else f"{trip.inside_p50:.3f}",
            "" if trip.first is None else f"{trip.first:.3f}",
            "" if trip.ran is None else f"{trip.ran:.3f}",
            "" if trip.waited is None else f"{trip.waited:.3f}",
            _others(trip.load),
        ]
        for trip in report.trips
    ]
    columns = ("Hz", "answered by", "p50 ms", "p99 ms", "max ms", "p50 / echo", "p99 / echo")
    more = ("own part, ms", "first, ms", "ran, ms", "waited, ms", "others")
    return TextTable(
        "State message to action message, over DDS",
        (*columns, "ticks", _MISSED, _INVALID, *more),
        rows,
    )


def missed_table(report: MissedReport) -> TextTable:
    """The quick planner and the slow one, and an echo beside them."""
    title = f"Re-planning without pause at {report.rate:g} Hz"
    columns = ("answered by", "p50 ms", "p99 ms", "max ms", "ticks", _MISSED)
    quick = report.milliseconds
    if not report.answerers:
        planners = (
            ("as it is", report.milliseconds, report.missed),
            (f"{report.slow_seconds:g} s a plan", report.milliseconds_slow, report.missed_slow),
        )
        return TextTable(
            title,
            columns,
            [
                [name, *_milliseconds(spread), str(spread.count), str(missed)]
                for name, spread, missed in planners
            ],
        )
    return TextTable(
        title,
        (*columns, _INVALID, *_CAUSES, "others", "p50 / as it is", "p99 / as it is"),
        [
            [
                entry.name,
                *_milliseconds(entry.milliseconds),
                str(entry.milliseconds.count),
                str(entry.missed),
                entry.invalid_in_words,
                *_causes(entry.late, entry.in_time_stood_still, witnessed=report.witnessed),
                _others(entry.load),
                f"{entry.milliseconds.median / quick.median:.2f}",
                f"{entry.milliseconds.p99 / quick.p99:.2f}",
            ]
            for entry in report.answerers
        ],
    )


_MISSED = "periods missed"
_INVALID = "invalid"
_CAUSES = ("late: standstill", "in time, with as long a one", "late: waited", "late: else")


def _causes(
    late: Sequence[LateTick], in_time_stood_still: float | None, *, witnessed: bool
) -> list[str]:
    counts = count_causes(late)
    standstill = str(counts["standstill"]) if witnessed else "not seen"
    if witnessed and not stood_still_told_apart(late):
        standstill += ", of any one"
    base = "" if in_time_stood_still is None else f"{100.0 * in_time_stood_still:.2f} %"
    return [standstill, base, str(counts["waiting"]), str(counts["other"])]


def _others(load: MachineLoad | None) -> str:
    if load is None:
        return ""
    return f"{load.others + load.stolen:.2f} of {load.processors}"


def _others_over_time(start: MachineLoad | None, end: MachineLoad | None) -> str:
    return "" if start is None or end is None else f"{_others(start)} to {_others(end)}"


def jitter_table(report: JitterReport) -> TextTable:
    """Idle and loaded."""
    return TextTable(
        f"Periods of the commands at {report.rate:g} Hz, by the controller's timer",
        ("the machine", "s", "p50 ms", "p99 ms", "max ms", "too long by half", _INVALID),
        [
            [
                jitter.name,
                f"{jitter.seconds:g}",
                *_milliseconds(jitter.milliseconds),
                str(jitter.skipped),
                jitter.invalid_in_words,
            ]
            for jitter in report.jitters
        ],
    )


def soak_table(reports: list[SoakReport]) -> TextTable:
    """One column a soak."""
    columns = [
        [
            str(report.ticks),
            f"{report.ticks / report.seconds:.0f}",
            *_milliseconds(report.milliseconds),
            "" if report.missed is None else str(report.missed),
            *(
                [""] * len(_CAUSES)
                if report.missed is None
                else _causes(report.late, report.in_time_stood_still, witnessed=report.witnessed)
            ),
            report.invalid_in_words,
            _others(report.load),
            _others_over_time(report.load_start, report.load_end),
            f"{report.resident_first:.1f} to {report.resident_last:.1f}",
            f"{report.slope:+.2f}",
            f"{report.cpu_rise:.3f}",
            f"{report.latency_rise:.3f}",
            "{} to {}".format(*report.threads),
            "{} to {}".format(*report.files),
        ]
        for report in reports
    ]
    rows = [list(row) for row in zip(_SOAKED, *columns, strict=True)]
    return TextTable("Soak", ("", *(report.name for report in reports)), rows)


_SOAKED = (
    "ticks",
    "ticks a second",
    "state to action, p50 ms",
    "p99 ms",
    "max ms",
    _MISSED,
    *_CAUSES,
    _INVALID,
    "others, processors",
    "others, at the start and at the end",
    "memory after the first tenth and at the end, MiB",
    "its slope, MiB a million ticks",
    "processor time a tick, end over start",
    "latency, end over start",
    "threads",
    "open files",
)


def goal_table(goals: list[SpeedGoal]) -> TextTable:
    """One row a goal."""
    return TextTable(
        "Goals",
        ("goal", "measured", "wanted", "met"),
        [
            [goal.name, f"{goal.value:.4g}", goal.goal, "yes" if goal.met else "**no**"]
            for goal in goals
        ],
    )


def _milliseconds(spread: Spread) -> list[str]:
    return [f"{spread.median:.3f}", f"{spread.p99:.3f}", f"{spread.high:.2f}"]
