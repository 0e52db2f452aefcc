"""How well an episode went for where it began."""

from __future__ import annotations

import numpy as np
import pytest

from gac_ros.online.merit import advantages, merits


def test_luck_with_the_start_is_no_merit() -> None:
    random = np.random.default_rng(0)
    at_goal = np.concatenate((np.ones(50), np.zeros(50)))[:, None]
    skill = random.random(100)
    merit = merits(at_goal, 100.0 * at_goal[:, 0] + skill)
    assert abs(np.corrcoef(merit, at_goal[:, 0])[0, 1]) < 0.1
    assert np.corrcoef(merit, skill)[0, 1] > 0.9


def test_failures_among_failures_have_none_and_a_rare_success_nearly_all() -> None:
    returns = np.zeros(400)
    returns[7] = 3.0
    merit = merits(np.random.default_rng(1).random((400, 2)), returns)
    assert merit[7] == 1.0
    assert merit.sum() == 1.0


def test_scaling_and_shifting_returns_changes_nothing() -> None:
    random = np.random.default_rng(2)
    starts, returns = random.random((60, 3)), random.random(60)
    assert (merits(starts, returns) == merits(starts, 50.0 * returns - 7.0)).all()
    np.testing.assert_allclose(
        advantages(starts, returns), advantages(starts, 50.0 * returns - 7.0), atol=1e-9
    )


def test_the_advantage_of_a_long_stay_is_a_multiple_of_that_of_a_visit() -> None:
    starts = np.random.default_rng(3).random((200, 2))
    returns = np.zeros(200)
    returns[:60] = 30.0
    returns[60:64] = 240.0
    found, shares = advantages(starts, returns), merits(starts, returns)
    assert np.median(found[60:64]) > 3.0 * np.median(found[:60])
    assert np.median(shares[60:64]) < 1.5 * np.median(shares[:60])
    assert (found[64:] == 0.0).all()


def test_the_advantage_is_that_over_episodes_that_began_alike() -> None:
    starts = np.concatenate((np.ones(50), np.zeros(50)))[:, None]
    returns = 300.0 * starts[:, 0]
    returns[[10, 80]] += 7.0
    expected = np.zeros(100)
    # One of fifty, 7 above the others: its deviation from their mean, and their spread.
    expected[[10, 80]] = 7.0 * 0.98 / (7.0 * np.sqrt(0.02 * 0.98) + returns.std())
    np.testing.assert_allclose(advantages(starts, returns), expected)


def test_of_two_lone_successes_the_greater_has_the_greater_advantage() -> None:
    starts = np.concatenate((np.ones(50), np.zeros(50)))[:, None]
    returns = np.zeros(100)
    returns[10], returns[80] = 15.0, 200.0
    found = advantages(starts, returns)
    assert found[80] > 2.0 * found[10] > 0.0
    assert merits(starts, returns)[10] == merits(starts, returns)[80]


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_episodes_are_no_trouble(count: int) -> None:
    starts, returns = np.zeros((count, 2)), np.arange(count, dtype=np.float64)
    assert merits(starts, returns).shape == advantages(starts, returns).shape == (count,)
    assert np.isfinite([*merits(starts, returns), *advantages(starts, returns)]).all()
