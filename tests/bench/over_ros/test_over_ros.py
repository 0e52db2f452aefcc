"""The measurements of the whole way run against real controllers over real DDS, in short."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.bench.over_ros.jitter import (
    IDLE,
    JITTERS,
    LOADED,
    QUICK,
    SLOW,
    measure_jitter,
    measure_missed,
)
from gac_ros.bench.over_ros.latency import (
    ECHO,
    FIRST,
    RAW_ECHO,
    RECORDING,
    REPLANNING,
    measure_latency,
    turns,
)
from gac_ros.bench.over_ros.rig import open_rig
from gac_ros.bench.over_ros.soak import sample_count, soak_lock_step


@pytest.mark.usefixtures("ros_domain")
def test_echoes_and_controllers_answer_every_state_in_turns(tmp_path: Path) -> None:
    finished: list[None] = []
    report = measure_latency(
        tmp_path, seconds=0.1, ticks=25, rates=(100.0,), on_turn=lambda: finished.append(None)
    )
    assert len(finished) == turns(0.1, 25, (100.0,)) == 1
    assert [trip.name for trip in report.trips] == [ECHO, RAW_ECHO, RECORDING, REPLANNING]
    assert all(trip.milliseconds.count == 25 for trip in report.trips)
    echo, raw, *controllers = report.trips
    assert (echo.p50_ratio, echo.p99_ratio) == (1.0, 1.0)
    assert raw.inside_p50 is raw.first is None
    for trip in controllers:
        assert trip.invalid == 0
        assert trip.inside_p50 is not None
        assert 0.0 < trip.inside_p50 < trip.milliseconds.median
        assert trip.first is not None
        assert trip.first > 0.0
    for trip in report.trips:
        assert trip.ran is not None
        assert trip.waited is not None
        assert trip.load is not None
        assert trip.ran > 0.0
        assert trip.waited >= 0.0
    bags = list((tmp_path / "latency-100" / "episodes").glob("*/metadata.yaml"))
    assert len(bags) == 2
    assert [goal.name for goal in report.goals()] == [
        "p50: controller, recording, 100 Hz, times the echo's",
        "p99: controller, recording, 100 Hz, times the echo's",
        "p50: controller, recording and re-planning, 100 Hz, times the echo's",
        "p99: controller, recording and re-planning, 100 Hz, times the echo's",
        FIRST,
    ]


@pytest.mark.usefixtures("ros_domain")
def test_an_echo_takes_turns_with_the_planners_and_every_late_command_has_a_cause(
    tmp_path: Path,
) -> None:
    report = measure_missed(tmp_path, seconds=0.5)
    assert [answerer.name for answerer in report.answerers] == [ECHO, QUICK, SLOW]
    for answerer in report.answerers:
        assert answerer.milliseconds.count == report.ticks == 100
        assert len(answerer.late) <= answerer.missed
        assert (answerer.missed > 0) == bool(answerer.late)
        assert answerer.invalid == 0
    assert report.missed_slow == report.answerers[-1].missed
    assert [goal.value for goal in report.goals()] == [report.missed_slow]


@pytest.mark.usefixtures("ros_domain")
def test_the_commands_of_one_second_are_kept_beside_those_of_the_next(tmp_path: Path) -> None:
    with open_rig(tmp_path) as rig:
        port = rig.start_echo("raw").port
        # What is sent before the two have found each other is lost, as states are best effort.
        for _ in range(50):
            rig.stand.stream(port, 20, 0.005)
            if len(port.arrivals) > 20:
                break
        rig.stand.spin_until(lambda: len(port.arrivals) > 20, 30.0, "more than one part's commands")
        assert port.arrivals == sorted(port.arrivals)


@pytest.mark.usefixtures("ros_domain")
def test_commands_that_come_by_the_timer_are_watched_idle_and_loaded(tmp_path: Path) -> None:
    seconds: list[None] = []
    report = measure_jitter(tmp_path, seconds=2.0, on_second=lambda: seconds.append(None))
    # Not everybody may have a real-time priority.
    names = [jitter.name for jitter in report.jitters]
    assert names in ([IDLE, LOADED], list(JITTERS))
    assert len(seconds) == 2 * len(names)
    for jitter in report.jitters:
        assert jitter.invalid == 0
        assert jitter.milliseconds.count > 10
        assert 0.0 <= jitter.milliseconds.low <= jitter.milliseconds.median


@pytest.mark.usefixtures("ros_domain")
def test_a_soak_counts_its_ticks_and_leaves_no_bags(tmp_path: Path) -> None:
    samples: list[None] = []
    report = soak_lock_step(tmp_path, ticks=40, on_sample=lambda: samples.append(None))
    assert report.ticks == report.milliseconds.count == 40
    assert len(samples) == len(report.samples) == sample_count(40)
    assert report.samples[-1].ticks == 40
    assert report.threads[0] == report.threads[1]
    assert report.resident_last > 0.0
    assert report.missed is None
    assert report.invalid == 0
    assert report.load_start is not None
    assert report.load_end is not None
    assert not list((tmp_path / "episodes").glob("*/metadata.yaml"))
