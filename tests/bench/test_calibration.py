"""What plans promise against what they achieve."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.bench.calibration import calibrate, plans_section
from gac_ros.bench.goals import write_measurement
from gac_ros.errors import EpisodeError


def plan(kind: str, predicted: float, achieved: float) -> dict[str, object]:
    return {"kind": kind, "predicted": predicted, "returns": [achieved - 1.0, achieved + 1.0]}


def test_equal_returns_share_their_rank() -> None:
    # Spearman's of (1, 2, 3, 4) and (1, 2.5, 2.5, 4).
    found = calibrate([1.0, 2.0, 3.0, 4.0], [0.0, 5.0, 5.0, 9.0])
    assert found.rank_correlation == pytest.approx(0.9486833)


def test_the_interval_is_over_plans_and_the_same_each_time() -> None:
    predicted = [float(index) for index in range(30)]
    achieved = [value + 8.0 * (index % 5) for index, value in enumerate(predicted)]
    found = calibrate(predicted, achieved)
    assert found.rank_correlation is not None
    assert found.interval is not None
    low, high = found.interval
    assert 0.3 < low < found.rank_correlation < high < 1.0
    assert calibrate(predicted, achieved) == found


def test_where_a_draw_of_plans_may_not_vary_there_is_no_interval() -> None:
    found = calibrate([1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 5.0])
    assert found.rank_correlation is not None
    assert found.interval is None


def test_the_page_shows_the_correlation_within_each_kind(tmp_path: Path) -> None:
    best = [plan("best", 90.0 + index, 99.0 - index) for index in range(4)]
    prior = [plan("prior", float(index), float(index)) for index in range(4)]
    write_measurement(tmp_path / "plans_toy.json", (), {"plans": [*best, *prior]})
    (tmp_path / "plans_toy_space.png").touch()
    lines = list(plans_section(tmp_path, "results"))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    found = {row[0]: row[1:5] for row in rows if len(row) == 6}
    assert found["best"] == ["4", "91.5", "97.5", "-1.00"]
    assert found["prior"] == ["4", "1.5", "1.5", "1.00"]
    # Over all it is high, as the two kinds are far apart.
    assert found["all"][3] == "0.76"
    assert "![plans toy space](results/plans_toy_space.png)" in lines


def test_without_plans_there_is_no_section_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    assert list(plans_section(tmp_path, "results")) == []
    write_measurement(tmp_path / "plans_toy.json", (), {})
    with pytest.raises(EpisodeError, match=r"plans_toy\.json"):
        list(plans_section(tmp_path, "results"))
