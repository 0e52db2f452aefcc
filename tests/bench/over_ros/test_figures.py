"""What is made of the times."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gac_ros.bench.over_ros.latency import LatencyReport, RoundTrip, turns
from gac_ros.bench.over_ros.soak import rise, sample_count, slope
from gac_ros.bench.over_ros.stand import Exchanges
from gac_ros.bench.over_ros.validity import INVALID, Answered, spoilt, validity_goals
from gac_ros.bench.spread import Spread


def test_a_late_command_misses_every_period_that_it_overruns() -> None:
    late = Exchanges(0.005, [0.001, 0.0049, 0.0051, 0.0123])
    assert late.missed == 1 + 2
    assert Exchanges(None, [1.0]).missed == 0


def test_growth_is_told_per_million_ticks() -> None:
    ticks = np.arange(1000.0, 11_000.0, 1000.0)
    assert slope(ticks, 300.0 + ticks * 2e-6) == pytest.approx(2.0)
    assert slope(ticks[:1], ticks[:1]) == 0.0


def test_a_rise_compares_the_end_with_the_start_after_settling() -> None:
    values = np.concatenate(([9.0] * 10, np.full(80, 1.0), np.full(10, 1.5)))
    assert rise(values) == pytest.approx(1.5)
    assert rise(np.array([2.0])) == 1.0


@pytest.mark.parametrize(
    ("ticks", "samples"), [(1, 1), (40, 40), (5000, 1000), (18_000, 1000), (1_000_000, 1000)]
)
def test_a_soak_takes_at_most_about_a_thousand_samples(ticks: int, samples: int) -> None:
    assert sample_count(ticks) == samples


def test_at_a_low_rate_the_answerers_take_more_turns() -> None:
    assert turns(16.0, 2500, (50, 200, 500)) == 25 + 8 + 8
    assert turns(16.0, 0, (50, 200, 500)) == 8 + 8 + 8


def round_trip(**changes: Any) -> RoundTrip:
    trip = RoundTrip(
        name="controller, recording",
        rate=200.0,
        milliseconds=Spread.of([0.5]),
        p50_ratio=1.4,
        p99_ratio=2.1,
        missed=0,
        lost=0,
        unasked=0,
        safe_actions=0,
        inside_p50=0.2,
    )
    return trip.model_copy(update=changes)


def test_the_goals_are_those_of_the_issue() -> None:
    p50, p99 = LatencyReport(trips=[round_trip()]).goals()
    assert (p50.goal, p50.met) == ("at most 1.5", True)
    assert (p99.goal, p99.met) == ("at most 2", False)


@pytest.mark.parametrize(("first", "met"), [(0.4, True), (0.5, False)])
def test_the_slowest_controllers_first_action_has_a_goal_of_its_own(
    first: float, met: bool
) -> None:
    trips = [round_trip(first=0.1), round_trip(first=first), round_trip(inside_p50=None)]
    *_, goal = LatencyReport(trips=trips).goals()
    assert goal.name.startswith("first action of an episode")
    assert (goal.value, goal.goal, goal.met) == (first / 0.2, "at most 2", met)


def test_answers_that_do_not_count_are_told_and_are_a_goal() -> None:
    summaries = [
        {"safe_actions": 1, "dropped_messages": 0, "bag": "a"},
        {"safe_actions": 0, "dropped_messages": 2, "bag": None},
    ]
    spoiled = Answered(lost=1, unasked=0, **spoilt(summaries))
    assert spoiled.invalid_in_words == "1 unanswered, 1 safe, 3 not recorded"
    echo = Answered(lost=0, unasked=0, **spoilt([]))
    assert echo.invalid_in_words == "0"
    (goal,) = validity_goals([echo, spoiled], "soak: ")
    assert (goal.name, goal.value, goal.met) == (f"soak: {INVALID}", 5, False)
    assert [goal.met for goal in validity_goals([echo])] == [True]


def test_older_measurements_do_not_claim_that_every_answer_counts() -> None:
    older = Answered(lost=0, unasked=0, safe_actions=0)
    assert older.invalid_in_words == ""
    assert validity_goals([older]) == []
