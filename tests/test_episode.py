"""Episodes as arrays and their metadata."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from gac_ros.episode import Episode, EpisodeMetadata, LatencySummary, new_episode_id
from gac_ros.errors import EpisodeError


def episode(**changes: Any) -> Episode:
    values: dict[str, Any] = {
        "observations": np.zeros((4, 2)),
        "actions": np.zeros((3, 1)),
        "rewards": np.zeros(3),
        "valid": np.ones(3, dtype=bool),
        "terminated": False,
        "truncated": True,
        "episode_return": 1.0,
    }
    return Episode(**{**values, **changes})


def test_an_episode_has_one_observation_more_than_actions() -> None:
    assert len(episode()) == 3


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"actions": np.zeros((0, 1))}, "at least one action"),
        ({"observations": np.zeros((3, 2))}, "3 actions need 4 observations and 3 rewards"),
        ({"rewards": np.zeros(4)}, "not 4 and 4"),
        ({"valid": np.ones(2, dtype=bool)}, "3 validity flags"),
        ({"observations": np.zeros(4)}, "two dimensions"),
        ({"actions": np.zeros(3)}, "two dimensions"),
    ],
)
def test_arrays_that_do_not_fit_together_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(EpisodeError, match=problem):
        episode(**changes)


@settings(deadline=None)
@given(seconds=arrays(np.float64, st.integers(1, 50), elements=st.floats(0.0, 10.0)))
def test_latency_quantiles_lie_within_the_latencies(seconds: NDArray[np.float64]) -> None:
    summary = LatencySummary.of(seconds)

    assert summary is not None
    slack = 1e-12
    assert seconds.min() - slack <= summary.p50 <= summary.p99 + slack
    assert summary.p99 <= summary.maximum + slack
    assert summary.maximum == seconds.max()


def test_no_latency_is_no_summary() -> None:
    assert LatencySummary.of(np.zeros(0)) is None


def test_episode_ids_sort_by_time_and_are_unique() -> None:
    start = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone.utc)
    moments = [start + timedelta(microseconds=step) for step in range(3)]

    ids = [new_episode_id(moment) for moment in moments]

    assert ids == sorted(ids)
    assert ids[0].startswith("20260102T030405.678901Z-")
    assert len({new_episode_id(start) for _ in range(20)}) > 1


def metadata(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "episode_id": "a",
        "robot": "arm",
        "embodiment": {"name": "arm"},
        "embodiment_digest": "0" * 64,
        "policy": "gac",
        "steps": 3,
        "started": "2026-01-02T03:04:05Z",
        "topics": {"odom": "/odom"},
    }
    return {**values, **changes}


@settings(deadline=None)
@given(
    value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    seed=st.none() | st.integers(0, 2**63),
    outcome=st.sampled_from(["unknown", "success", "failure", "interrupted"]),
)
def test_metadata_survives_json_to_the_last_digit(
    value: float | None, seed: int | None, outcome: str
) -> None:
    known = EpisodeMetadata(**metadata(episode_return=value, seed=seed, outcome=outcome))

    again = EpisodeMetadata.model_validate(json.loads(json.dumps(known.model_dump(mode="json"))))

    assert again == known


@pytest.mark.parametrize(
    "change",
    [{"steps": -1}, {"outcome": "great"}, {"format": 2}, {"colour": "red"}, {"topics": None}],
)
def test_metadata_of_another_format_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        EpisodeMetadata(**metadata(**change))


def test_metadata_cannot_be_changed() -> None:
    known = EpisodeMetadata(**metadata())

    with pytest.raises(ValueError, match="frozen"):
        known.steps = 4  # type: ignore[misc]
