"""The exploration target that tunes itself."""

from __future__ import annotations

import numpy as np
import pytest

from gac_ros.online.target import Target, TargetConfig, make_target, next_reach

CONFIG = TargetConfig()


def test_the_increment_is_some_deviations_of_recent_returns() -> None:
    recent = [0.0, 10.0, 20.0, 30.0, 40.0]
    target = make_target(recent, best=400.0, worst=0.0, reach=0.5, config=CONFIG)
    assert target.increment == pytest.approx(0.5 * np.std(recent))
    assert target.fallback == pytest.approx(20.0 + target.increment)


def test_no_target_is_far_beyond_the_best_return_whatever_its_sign() -> None:
    high = make_target([80.0, 100.0], best=100.0, worst=0.0, reach=10.0, config=CONFIG)
    assert high.highest == high.fallback == pytest.approx(105.0)
    negative = make_target([-90.0, -40.0], best=-40.0, worst=-100.0, reach=10.0, config=CONFIG)
    assert negative.highest == pytest.approx(-37.0)


def test_returns_in_other_units_give_the_same_target_in_those_units() -> None:
    recent = np.array([3.0, 9.0, 4.0, 8.0])
    one = make_target(list(recent), best=9.0, worst=1.0, reach=0.7, config=CONFIG)
    other = make_target(
        list(1000.0 * recent - 50.0), best=8950.0, worst=950.0, reach=0.7, config=CONFIG
    )
    assert other.increment == pytest.approx(1000.0 * one.increment)
    assert other.fallback == pytest.approx(1000.0 * one.fallback - 50.0)


def test_equal_returns_ask_for_nothing_and_leave_the_reach_alone() -> None:
    target = make_target([0.0] * 8, best=0.0, worst=0.0, reach=1.0, config=CONFIG)
    assert target.increment == 0.0
    assert next_reach(target, 1.0, CONFIG) == 1.0


def test_the_reach_settles_where_the_wanted_share_reaches_the_target() -> None:
    """On a robot whose returns are normal, whatever is asked for."""
    rng = np.random.default_rng(0)
    reach, shares = 5.0, []
    for _ in range(60):
        recent = rng.normal(100.0, 20.0, size=80)
        target = make_target(list(recent), best=1e4, worst=0.0, reach=reach, config=CONFIG)
        returns = rng.normal(100.0, 20.0, size=40)
        shares.append(float(np.mean(returns >= target.fallback)))
        reach = next_reach(target, shares[-1], CONFIG)
    assert np.mean(shares[-20:]) == pytest.approx(CONFIG.wanted_share, abs=0.06)


def test_the_reach_stays_within_its_bounds() -> None:
    def target(reach: float) -> Target:
        return Target(increment=10.0, highest=99.0, median=0.0, reach=reach)

    assert next_reach(target(CONFIG.smallest_reach), 0.0, CONFIG) == CONFIG.smallest_reach
    assert next_reach(target(CONFIG.largest_reach), 1.0, CONFIG) == CONFIG.largest_reach
