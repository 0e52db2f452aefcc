"""Where a goal is missed, words say why; where none is, there are none."""

from __future__ import annotations

from gac_ros.bench.control import (
    HISTORY_STEPS,
    POLICY,
    DecisionReport,
    DecisionTime,
    history_name,
    policy_name,
)
from gac_ros.bench.control_tables import latency_table, missed_table, soak_table
from gac_ros.bench.over_ros.jitter import Answerer, MissedReport
from gac_ros.bench.over_ros.late import LateTick
from gac_ros.bench.over_ros.latency import ECHO, REPLANNING, LatencyReport, RoundTrip
from gac_ros.bench.over_ros.limits import (
    decision_limits,
    latency_limits,
    missed_limits,
    soak_limits,
)
from gac_ros.bench.over_ros.machine import MachineLoad
from gac_ros.bench.over_ros.soak import Sample, SoakReport
from gac_ros.bench.spread import Spread

LOAD = MachineLoad(others=0.25, stolen=0.0, processors=2)


def trip(name: str, p99_ratio: float, ran: float, waited: float) -> RoundTrip:
    return RoundTrip(
        name=name,
        rate=500.0,
        milliseconds=Spread.of([0.5]),
        p50_ratio=1.0,
        p99_ratio=p99_ratio,
        missed=0,
        lost=0,
        unasked=0,
        safe_actions=0,
        inside_p50=None,
        ran=ran,
        waited=waited,
        load=LOAD,
    )


def test_a_ratio_that_is_too_large_is_put_down_to_what_grew_more() -> None:
    echo = trip(ECHO, 1.0, ran=0.25, waited=0.05)
    (waiting,) = latency_limits(
        LatencyReport(trips=[echo, trip(REPLANNING, 2.5, ran=0.5, waited=0.75)])
    )
    assert "Waiting is the larger part" in waiting
    assert "waited for a processor for 0.750 ms (the echo's 0.050)" in waiting
    assert "Others had 0.25 of 2 processors" in waiting
    (computing,) = latency_limits(
        LatencyReport(trips=[echo, trip(REPLANNING, 2.5, ran=0.75, waited=0.1)])
    )
    assert "Computing is the larger part" in computing
    assert not list(latency_limits(LatencyReport(trips=[echo, trip(REPLANNING, 1.5, 0.5, 0.1)])))


def test_periods_missed_are_told_beside_the_ticks_as_they_may_be_more() -> None:
    late = trip(ECHO, 1.0, 0.25, 0.05).model_copy(update={"missed": 3})
    table = latency_table(LatencyReport(trips=[late]))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert (row["ticks"], row["periods missed"]) == ("1", "3")


def test_answers_that_do_not_count_have_a_column() -> None:
    unsafe = trip(REPLANNING, 1.0, 0.25, 0.05).model_copy(
        update={"safe_actions": 2, "unrecorded": 0}
    )
    table = latency_table(LatencyReport(trips=[unsafe]))
    row = dict(zip(table.columns, table.rows[0], strict=True))
    assert row["invalid"] == "2 safe"


def missed(
    late: tuple[LateTick, ...], *, witnessed: bool = True, base: float | None = None
) -> MissedReport:
    spread, slow = Spread.of([1.0]), Spread.of([1.5])
    answerers = tuple(
        Answerer(
            name=name,
            milliseconds=slow if name == "slow" else spread,
            missed=len(ticks),
            late=ticks,
            load=LOAD,
            in_time_stood_still=base,
        )
        for name, ticks in (("echo", ()), ("quick", ()), ("slow", late))
    )
    return MissedReport(
        rate=200.0,
        slow_seconds=2.0,
        ticks=1,
        missed=0,
        missed_slow=len(late),
        milliseconds=spread,
        milliseconds_slow=slow,
        answerers=answerers,
        witnessed=witnessed,
    )


def test_missed_ticks_are_told_by_cause_and_all_of_them_count() -> None:
    late = tuple(
        LateTick(period=5.0, took=6.0, stood_still=stood_still, waited=waited, ran=0.5)
        for stood_still, waited in ((2.0, 0.0), (0.0, 2.0), (0.0, 0.1))
    )
    (line,) = missed_limits(missed(late))
    assert "Of the 3 late commands 1 would have been in time if no processor" in line
    assert "1 count as the controller's own" in line
    assert "3 periods were missed in 1 ticks, with the quick 0 in 1, by the echo 0 in 1" in line
    (blind,) = missed_limits(missed(late, witnessed=False))
    assert "could not be seen" in blind
    assert not list(missed_limits(missed(())))
    assert [goal.met for goal in missed(late).goals()] == [False]
    apart = tuple(tick.model_copy(update={"all_stood_still": 0.0}) for tick in late[1:])
    excused = late[0].model_copy(update={"all_stood_still": 2.0})
    (line,) = missed_limits(missed((excused, *apart), base=0.0025))
    assert "1 would have been in time if not all processors had stood still (0.25 % of" in line
    *_, row = missed_table(missed((excused, *apart), base=0.0025)).rows
    assert row[-7:] == ["1", "0.25 %", "1", "1", "0.25 of 2", "1.50", "1.50"]
    *_, row = missed_table(missed(late)).rows
    assert row[-7:-2] == ["1, of any one", "", "1", "1", "0.25 of 2"]


def decisions(microseconds: float) -> DecisionReport:
    one, spread = Spread.of([1.0]), Spread.of([microseconds])
    ways = [(POLICY, one), *((policy_name(step), one) for step in HISTORY_STEPS)]
    ways += [(history_name(step), Spread.of([100.0])) for step in HISTORY_STEPS]
    return DecisionReport(
        times=[DecisionTime(name=name, microseconds=spread, ratio=ratio) for name, ratio in ways],
        weight_bytes=1000,
        copy_bytes_per_second=1e8,
        floor_microseconds=10.0,
    )


def test_a_slow_decision_is_told_beside_the_memory_floor() -> None:
    (line,) = decision_limits(decisions(400.0))
    assert "400 µs, 400 at the lowest. Reading the weights takes 10 (the memory floor)" in line
    assert "400 (lowest 400) at step 1000" in line
    assert not list(decision_limits(decisions(100.0)))


def test_a_slow_first_action_is_told_beside_the_median_one() -> None:
    echo = trip(ECHO, 1.0, 0.25, 0.05)
    slow = trip(REPLANNING, 1.5, 0.5, 0.1).model_copy(update={"inside_p50": 0.5, "first": 1.25})
    (line,) = latency_limits(LatencyReport(trips=[echo, slow]))
    assert "the first action of an episode took 1.250 ms" in line
    assert "the median one 0.500" in line


def soak(**changes: object) -> SoakReport:
    samples = [
        Sample(ticks=ticks, resident=300.0, cpu_microseconds=cpu, median_milliseconds=cpu / 1000)
        for ticks, cpu in ((100, 900.0), (200, 400.0), (300, 500.0))
    ]
    report = SoakReport(
        ticks=300,
        rate=None,
        seconds=0.5,
        milliseconds=Spread.of([0.5]),
        missed=None,
        slope=0.25,
        resident_first=300.0,
        resident_last=301.0,
        latency_rise=1.25,
        cpu_rise=1.25,
        threads=(12, 12),
        files=(20, 20),
        samples=samples,
        load=LOAD,
    )
    return report.model_copy(update=changes)


def test_a_rise_is_told_with_what_others_had_at_the_start_and_at_the_end() -> None:
    busy = MachineLoad(others=1.5, stolen=0.0, processors=2)
    grown = soak(load_start=LOAD, load_end=busy)
    (line,) = soak_limits(grown)
    assert "processor time a tick went from 400 to 500 µs" in line
    assert "latency from 0.400 to 0.500 ms" in line
    assert "Others had 0.25 of 2 processors at the start and 1.50 of 2 processors" in line
    (line,) = soak_limits(soak())
    assert "What others had then was not recorded" in line
    assert not list(soak_limits(soak(latency_rise=1.0, cpu_rise=1.0)))
    rows = dict(soak_table([grown]).rows)
    assert rows["others, at the start and at the end"] == "0.25 of 2 to 1.50 of 2"


def test_a_soaks_answers_that_do_not_count_are_told_and_are_a_goal() -> None:
    spoiled = soak(lost=1, unasked=0, safe_actions=0, unrecorded=0)
    assert dict(soak_table([spoiled]).rows)["invalid"] == "1 unanswered"
    *_, goal = spoiled.goals()
    assert goal.name.startswith("lock-step: states unanswered")
    assert not goal.met
