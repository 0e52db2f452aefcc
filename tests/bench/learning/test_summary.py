"""What runs come to."""

from __future__ import annotations

import math

import pytest

from gac_ros.bench.learning.records import is_stale
from gac_ros.bench.learning.summary import config_differences, difference, summarize
from tests.bench.learning.example_runs import example_record


def test_a_cell_s_interval_is_over_all_episodes_of_all_seeds() -> None:
    table = summarize(
        [example_record(seed=0, scores=[90.0, 92.0]), example_record(seed=1, scores=[94.0, 96.0])]
    )
    cell = table["pointmaze_umaze", "gac"]
    assert cell.mean == 93.0
    assert cell.seed_means == [91.0, 95.0]
    # Student's t with three degrees of freedom.
    assert cell.half_width == pytest.approx(3.182446 * math.sqrt(20.0 / 3.0) / 2.0, rel=1e-6)


def test_a_difference_is_taken_between_equal_starts() -> None:
    table = summarize(
        [
            example_record(scores=[50.0, 90.0, 70.0]),
            example_record(method="lpt_w1", scores=[48.0, 87.0, 69.0]),
            example_record(method="lpt_w4", scores=[55.0, 80.0, 75.0]),
        ]
    )
    ours = table["pointmaze_umaze", "gac"]
    small = difference(ours, table["pointmaze_umaze", "lpt_w1"])
    assert small is not None
    assert small.mean == pytest.approx(2.0)
    # Paired: the starts differ far more than the methods do.
    assert not small.ahead
    assert small.interval == pytest.approx((2.0 - 2.484138, 2.0 + 2.484138), rel=1e-5)
    noisy = difference(ours, table["pointmaze_umaze", "lpt_w4"])
    assert noisy is not None
    assert not noisy.ahead


def test_cells_without_a_common_start_cannot_be_compared() -> None:
    first = summarize([example_record(seed=0)])["pointmaze_umaze", "gac"]
    second = summarize([example_record(seed=1)])["pointmaze_umaze", "gac"]
    assert difference(first, second) is None


def test_a_run_with_other_settings_is_stale() -> None:
    usual = example_record()
    assert not summarize([usual])["pointmaze_umaze", "gac"].stale
    config = {**usual.config, "mode": "explore"}
    other = usual.model_copy(update={"config": config})
    assert is_stale(other, usual.config)
    assert summarize([other])["pointmaze_umaze", "gac"].stale


def test_a_setting_that_is_new_and_off_makes_no_run_stale() -> None:
    record = example_record()
    assert not is_stale(record, {**record.config, "new": 0.0, "other": None})
    assert is_stale(record, {**record.config, "new": 0.5})
    fewer = {key: value for key, value in record.config.items() if key != "mode"}
    assert is_stale(record, fewer)


@pytest.mark.parametrize(("method", "reads"), [("gac", True), ("lpt_w1", False)])
def test_a_setting_that_a_method_never_reads_makes_no_run_of_it_stale(
    method: str, *, reads: bool
) -> None:
    record = example_record(method=method)
    for name, value in {"mode_steps": 3, "return_power": 7.0}.items():
        training = {**record.config["training"], name: value}
        changed = record.model_copy(update={"config": {**record.config, "training": training}})
        assert is_stale(changed, record.config) == reads


def test_settings_that_differ_are_named_with_both_values() -> None:
    default = {"training": {"rate": 1.0, "steps": 1}, "mode": "exploit"}
    assert config_differences(default, default) == []
    own = {"training": {"rate": 2.0, "steps": 1}, "new": True}
    assert config_differences(own, default) == [
        "`training.rate`: 1.0 → 2.0",
        "`new`: – → true",
        '`mode`: "exploit" → –',
    ]


def test_a_setting_that_is_off_where_it_is_known_changes_nothing() -> None:
    assert config_differences({"rate": 1.0}, {"rate": 1.0, "training": {"compile": False}}) == []
    assert config_differences({"rate": 1.0, "noise": 0.0}, {"rate": 1.0}) == []
