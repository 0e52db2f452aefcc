"""How well an episode went for where it began."""

from __future__ import annotations

import numpy as np
import pytest

from gac_ros.online.merit import merits


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


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_episodes_are_no_trouble(count: int) -> None:
    assert merits(np.zeros((count, 2)), np.arange(count, dtype=np.float64)).shape == (count,)
