"""Which steps of an episode its return is owed to."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from gac_ros.online.credit import fourier_features, step_credit, step_rewards

LENGTH = 60


def walks(count: int, seed: int) -> list[NDArray[np.float64]]:
    """Random walks in a square; their goal is its corner beyond 0.6 in both directions."""
    random = np.random.default_rng(seed)
    episodes = []
    for _ in range(count):
        place, drift = random.uniform(-1.0, 1.0, 2), random.normal(0.0, 0.05, 2)
        steps = []
        for _ in range(LENGTH):
            place = np.clip(place + drift + random.normal(0.0, 0.05, 2), -1.0, 1.0)
            steps.append(place)
        episodes.append(np.array(steps))
    return episodes


def at_goal(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((steps > 0.6).all(axis=1), dtype=np.float64)


def returns_of(episodes: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.array([at_goal(steps).sum() for steps in episodes])


def test_rewards_of_steps_are_found_from_returns_alone() -> None:
    episodes = walks(300, seed=0)
    states, lengths = fourier_features(episodes), [len(steps) for steps in episodes]
    found = np.concatenate(step_rewards(states, lengths, returns_of(episodes)))
    earned = at_goal(np.concatenate(episodes))
    assert np.corrcoef(found, earned)[0, 1] > 0.7
    assert abs(found[earned == 0.0].mean()) < 0.05
    assert found[earned == 1.0].mean() > 0.6


def test_staying_at_the_goal_has_credit_and_leaving_it_has_none() -> None:
    there = np.linspace(-1.0, 0.8, LENGTH // 2)
    stays = np.concatenate((there, np.full(LENGTH // 2, 0.8)))
    leaves = np.concatenate((there, there[::-1]))
    random = np.random.default_rng(1)
    episodes = [
        np.stack((path, path), axis=1) + random.normal(0.0, 0.01, (LENGTH, 2))
        for path in [stays] * 10 + [leaves] * 30
    ]
    credit = step_credit(episodes, returns_of(episodes), [False] * len(episodes))
    half = slice(LENGTH // 2 + 3, LENGTH - 3)
    staying = np.mean([steps[half] for steps in credit[:10]])
    leaving = np.mean([steps[half] for steps in credit[10:]])
    assert staying > 0.15
    assert leaving < 0.1 * staying


def test_credit_does_not_depend_on_the_unit_of_the_return() -> None:
    episodes, no_end = walks(40, seed=2), [False] * 40
    returns = returns_of(episodes)
    credit = np.concatenate(step_credit(episodes, returns, no_end))
    scaled = np.concatenate(step_credit(episodes, 50.0 * returns - 7.0, no_end))
    assert credit.max() > 0.5
    np.testing.assert_allclose(scaled, credit, atol=1e-6)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_equal_returns_give_no_step_credit(value: float) -> None:
    episodes = walks(20, seed=3)
    credit = step_credit(episodes, np.full(20, value), [False] * 20)
    assert not np.concatenate(credit).any()
    assert [len(steps) for steps in credit] == [LENGTH] * 20


def test_what_leads_to_an_end_has_less_credit_than_what_goes_on() -> None:
    # Each step is worth 1 as long as the robot stands; some fall after a third of the episode.
    random = np.random.default_rng(4)
    falls = [True] * 15 + [False] * 15
    episodes = []
    for fall in falls:
        steps = LENGTH // 3 if fall else LENGTH
        lean = np.linspace(0.0, 1.0, steps) if fall else np.zeros(steps)
        episodes.append(lean[:, None] + random.normal(0.0, 0.02, (steps, 1)))
    returns = np.array([float(len(steps)) for steps in episodes])
    credit = step_credit(episodes, returns, falls)
    assert np.mean([steps[3:].mean() for steps in credit[:15]]) < 0.05
    # Before it leans, a robot that will stand is better off than one that will fall.
    assert np.mean([steps[0] for steps in credit[15:]]) > np.mean([s[0] for s in credit[:15]])


def test_long_recordings_are_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = [*walks(39, seed=5), walks(1, seed=6)[0][:7]]
    returns, no_end = returns_of(episodes), [False] * 40
    whole = np.concatenate(step_credit(episodes, returns, no_end))
    monkeypatch.setattr("gac_ros.online.credit._MOST_STEPS", 40 * LENGTH // 3)
    part = step_credit(episodes, returns, no_end)
    assert [len(steps) for steps in part] == [len(steps) for steps in episodes]
    assert np.corrcoef(np.concatenate(part), whole)[0, 1] > 0.7
