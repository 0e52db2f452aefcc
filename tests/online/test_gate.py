"""Which checkpoint acts: the incumbent, unless the candidate is better on the same starts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gac_ros.online.gate import judge


def test_a_draw_and_a_worse_candidate_leave_the_incumbent() -> None:
    assert not judge([1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.8).accepted
    assert not judge([1.0, 2.0, 3.0], [0.5, 1.5, 2.0], 0.8).accepted


def test_pairs_find_what_the_spread_of_the_starts_would_hide() -> None:
    starts = np.random.default_rng(0).normal(0.0, 100.0, size=20)
    better = starts + np.random.default_rng(1).normal(5.0, 1.0, size=20)
    assert judge(list(starts), list(better), 0.95).accepted
    assert not judge(list(starts), list(np.roll(better, 1)), 0.95).accepted


def test_the_bound_is_student_s() -> None:
    incumbent, candidate = [1.0, 4.0, 2.0, 8.0], [3.0, 4.5, 2.0, 11.0]
    result = judge(incumbent, candidate, 0.8)
    reference = stats.ttest_rel(candidate, incumbent).confidence_interval(0.6)
    assert result.lower_bound == pytest.approx(reference.low)


def test_one_start_is_enough_to_compare() -> None:
    assert judge([1.0], [2.0], 0.8).accepted
    assert judge([1.0], [2.0], 0.8).lower_bound is None
