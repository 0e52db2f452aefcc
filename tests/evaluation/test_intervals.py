"""Means and their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gac_ros.evaluation.intervals import mean, mean_interval, t_quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 8, 19, 20, 99, 500])
@pytest.mark.parametrize("probability", [0.6, 0.95, 0.975, 0.995])
def test_the_t_quantile_agrees_with_scipy(degrees: int, probability: float) -> None:
    expected = stats.t.ppf(probability, degrees)
    assert t_quantile(probability, degrees) == pytest.approx(expected, rel=1e-9)


def test_the_interval_agrees_with_scipy() -> None:
    scores = np.random.default_rng(0).normal(80.0, 15.0, size=20).tolist()
    expected = stats.t.interval(0.95, len(scores) - 1, np.mean(scores), stats.sem(scores))
    assert mean_interval(scores) == pytest.approx(expected)


def test_the_interval_holds_the_true_mean_in_about_95_of_100_runs_of_five_episodes() -> None:
    rng = np.random.default_rng(1)
    runs = [mean_interval(rng.normal(3.0, 2.0, size=5).tolist()) for _ in range(2000)]
    held = sum(run is not None and run[0] <= 3.0 <= run[1] for run in runs)
    assert 0.935 <= held / len(runs) <= 0.965


def test_one_episode_has_a_mean_but_no_interval() -> None:
    assert mean([4.0]) == 4.0
    assert mean_interval([4.0]) is None
    assert mean([]) is None


def test_equal_scores_have_an_interval_of_no_width() -> None:
    assert mean_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
