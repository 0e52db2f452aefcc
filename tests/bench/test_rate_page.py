"""The page on control at rate says what its files say, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.bench.control import DecisionTime
from gac_ros.bench.goals import at_most, write_measurement
from gac_ros.bench.over_ros.jitter import Jitter, JitterReport
from gac_ros.bench.over_ros.soak import Sample, SoakReport
from gac_ros.bench.rate_page import (
    CONTROL_FILE,
    PRIORITY_FILE,
    RUNTIMES_FILE,
    SOAK_FILES,
    write_rate_page,
)
from gac_ros.bench.replanning import Cell, compare
from gac_ros.bench.spread import Spread
from gac_ros.errors import EpisodeError

SETTINGS = {"checkpoint": "a", "disturbance": None, "starts": "reporting", "seed": 0}


def jitter() -> JitterReport:
    spread = Spread.of([4.9, 5.0, 5.25])
    return JitterReport(
        rate=200.0,
        jitters=[
            Jitter(
                name="idle",
                seconds=60.0,
                milliseconds=spread,
                skipped=7,
                safe_actions=1,
                unrecorded=0,
            )
        ],
    )


def soak() -> SoakReport:
    sample = Sample(ticks=100, resident=300.0, cpu_microseconds=400.0, median_milliseconds=0.5)
    return SoakReport(
        ticks=100,
        rate=200.0,
        seconds=0.5,
        milliseconds=Spread.of([0.5]),
        missed=3,
        lost=0,
        slope=0.25,
        resident_first=300.0,
        resident_last=301.0,
        latency_rise=1.0,
        cpu_rise=1.0,
        threads=(12, 12),
        files=(20, 20),
        samples=[sample],
    )


def test_what_was_measured_is_on_the_page_and_what_was_not_is_not(tmp_path: Path) -> None:
    goals = [at_most("ticks missed", 3, 0)]
    figures = {"device": "cpu", "jitter": jitter().model_dump()}
    write_measurement(tmp_path / CONTROL_FILE, goals, figures)
    figures = {"device": "cpu", "real_time": soak().model_dump()}
    write_measurement(tmp_path / SOAK_FILES[1], soak().goals(), figures)
    assert write_rate_page(tmp_path, tmp_path / "rate.md")
    page = (tmp_path / "rate.md").read_text()
    assert "| ticks missed |        3 | at most 0 | **no** |" in page
    assert "| idle        |  60 |  5.000 |  5.245 |   5.25 |                7 |  1 safe |" in page
    assert "real time, 200 Hz" in page
    assert "lock-step:" not in page
    assert "State message to action message" not in page


def test_the_page_shows_what_planning_again_was_found_to_do(tmp_path: Path) -> None:
    cells = [
        Cell(case="maze", rule=rule, settings=SETTINGS, returns=[worth, worth], changes=[2, 3])
        for rule, worth in (("never", 10.0), ("periodic", 7.0))
    ]
    comparisons = [comparison.model_dump() for comparison in compare(cells)]
    write_measurement(tmp_path / "replanning_small.json", [], {"comparisons": comparisons})
    assert write_rate_page(tmp_path, tmp_path / "rate.md")
    page = (tmp_path / "rate.md").read_text()
    row = ["maze", "periodic", "never", "2", "7.0", "-3.0 [-3.0, -3.0]", "2.5"]
    assert row in [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    (tmp_path / "replanning_small.json").write_text('{"comparisons": [{}]}')
    with pytest.raises(EpisodeError, match="replanning_small"):
        write_rate_page(tmp_path, tmp_path / "rate.md")


def test_the_page_shows_other_ways_to_compute_a_decision(tmp_path: Path) -> None:
    spread = Spread.of([109.0])
    time = DecisionTime(name="ONNX Runtime", microseconds=spread, ratio=Spread.of([1.65]))
    write_measurement(tmp_path / RUNTIMES_FILE, [], {"runtimes": [time.model_dump()]})
    assert write_rate_page(tmp_path, tmp_path / "rate.md")
    row = ["ONNX Runtime", "109", "109", "109", "1.65"]
    page = (tmp_path / "rate.md").read_text()
    assert row in [[cell.strip() for cell in line.split("|")[1:-1]] for line in page.splitlines()]
    (tmp_path / RUNTIMES_FILE).write_text('{"runtimes": [{}]}')
    with pytest.raises(EpisodeError, match="decision_runtimes"):
        write_rate_page(tmp_path, tmp_path / "rate.md")


def test_the_measurements_that_are_filed_can_be_read(tmp_path: Path) -> None:
    results = Path(__file__).parents[2] / "docs" / "results"
    assert write_rate_page(results, tmp_path / "rate.md")
    page = (tmp_path / "rate.md").read_text()
    for name in (CONTROL_FILE, PRIORITY_FILE, RUNTIMES_FILE, *SOAK_FILES):
        assert f"`{name}`: commit" in page


def test_a_run_that_did_not_end_is_not_shown_as_a_whole_one(tmp_path: Path) -> None:
    figures = {"jitter": jitter().model_dump(), "unfinished": "TransportError: no sign"}
    write_measurement(tmp_path / CONTROL_FILE, [], figures)
    assert write_rate_page(tmp_path, tmp_path / "rate.md")
    page = (tmp_path / "rate.md").read_text()
    assert "The run did not end (TransportError: no sign): parts are missing." in page


def test_without_a_measurement_there_is_no_page(tmp_path: Path) -> None:
    assert not write_rate_page(tmp_path, tmp_path / "rate.md")
    assert not (tmp_path / "rate.md").exists()


@pytest.mark.parametrize("text", ["{", "{}", json.dumps({"goals": [], "jitter": {"rate": 1}})])
def test_a_damaged_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / CONTROL_FILE).write_text(text)
    with pytest.raises(EpisodeError, match=CONTROL_FILE.partition(".")[0]):
        write_rate_page(tmp_path, tmp_path / "rate.md")
