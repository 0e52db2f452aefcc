"""The normaliser: fitted to what may be learnt from, exact in JSON, and invertible."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gac_ros.episode import Episode
from gac_ros.errors import ConfigurationError
from gac_ros.normalization import Normalizer

LOW, HIGH = np.array([-2.0, 0.0]), np.array([2.0, 1.0])


def episode(
    observations: NDArray[np.float64],
    episode_return: float | None = 1.0,
    valid: NDArray[np.bool_] | None = None,
) -> Episode:
    steps = len(observations) - 1
    return Episode(
        observations=observations,
        actions=np.zeros((steps, 2)),
        rewards=np.zeros(steps),
        valid=np.ones(steps, dtype=bool) if valid is None else valid,
        terminated=False,
        truncated=True,
        episode_return=episode_return,
    )


def fitted(seed: int = 0) -> Normalizer:
    rng = np.random.default_rng(seed)
    episodes = [episode(rng.normal(3.0, 2.0, size=(50, 3)), value) for value in (1.0, 5.0, 2.5)]
    return Normalizer.fit(episodes, LOW, HIGH)


def test_observations_of_the_data_become_standard() -> None:
    rng = np.random.default_rng(1)
    known = episode(rng.normal([1.0, -200.0], [0.1, 30.0], size=(5001, 2)))

    seen = Normalizer.fit([known], LOW, HIGH).normalize_observation(known.observations[:-1])

    assert seen.dtype == np.float32
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(seen.std(axis=0), 1.0, atol=1e-4)


def test_invalid_steps_and_the_last_observation_do_not_count() -> None:
    observations = np.array([[1.0], [3.0], [1e9], [5.0], [1e9]])
    valid = np.array([True, True, False, True])

    normalizer = Normalizer.fit([episode(observations, valid=valid)], LOW, HIGH)

    assert normalizer.observation_mean.tolist() == [3.0]


def test_a_field_that_never_moves_is_centred_and_not_blown_up() -> None:
    normalizer = Normalizer.fit([episode(np.full((4, 1), 7.0))], LOW, HIGH)

    assert normalizer.normalize_observation(np.array([7.0])).tolist() == [0.0]
    assert abs(normalizer.normalize_observation(np.array([7.001]))[0]) <= 1.01


def test_returns_come_from_labelled_episodes_only() -> None:
    observations = np.zeros((2, 1))
    episodes = [episode(observations, value) for value in (None, 2.0, 4.0)]

    normalizer = Normalizer.fit(episodes, LOW, HIGH)

    assert (normalizer.return_mean, normalizer.return_std) == (3.0, 1.0)
    assert normalizer.return_max == 4.0


def test_data_without_any_return_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="label the episodes"):
        Normalizer.fit([episode(np.zeros((2, 1)), None)], LOW, HIGH)


def test_one_episode_has_no_spread_but_a_finite_scale() -> None:
    normalizer = Normalizer.fit([episode(np.zeros((2, 1)), 3.0)], LOW, HIGH)

    assert normalizer.normalize_return(3.0) == 0.0
    assert np.isfinite(normalizer.normalize_return(4.0))


def test_action_limits_become_minus_one_and_one() -> None:
    normalizer = fitted()

    assert normalizer.normalize_action(LOW).tolist() == [-1.0, -1.0]
    assert normalizer.normalize_action(HIGH).tolist() == [1.0, 1.0]
    assert normalizer.normalize_action((LOW + HIGH) / 2).tolist() == [0.0, 0.0]


@settings(deadline=None)
@given(actions=arrays(np.float64, (3, 2), elements=st.floats(-2.0, 2.0)))
def test_actions_come_back_from_their_normalised_form(actions: NDArray[np.float64]) -> None:
    normalizer = fitted()

    again = normalizer.denormalize_action(normalizer.normalize_action(actions))

    assert again.dtype == np.float64
    np.testing.assert_allclose(again, actions, atol=1e-6)


@settings(deadline=None)
@given(value=st.floats(-1e6, 1e6))
def test_returns_come_back_from_their_normalised_form(value: float) -> None:
    normalizer = fitted()

    again = normalizer.denormalize_return(normalizer.normalize_return(value))

    assert again == pytest.approx(value, rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 1000))
def test_a_normaliser_survives_json_to_the_last_bit(seed: int) -> None:
    normalizer = fitted(seed)

    again = Normalizer.from_dict(json.loads(json.dumps(normalizer.to_dict())))

    for name, value in normalizer.to_dict().items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_a_single_observation_and_a_batch_are_treated_alike() -> None:
    normalizer = fitted()
    batch = np.random.default_rng(2).normal(size=(2, 4, 3))

    seen = normalizer.normalize_observation(batch)

    assert seen.shape == batch.shape
    np.testing.assert_array_equal(seen[1, 2], normalizer.normalize_observation(batch[1, 2]))
