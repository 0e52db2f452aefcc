"""The seeds of a run's episodes."""

from __future__ import annotations

import json

import pytest

from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.seeds import (
    LARGEST_SEED,
    Purpose,
    episode_seed,
    online_seed,
    tuning_seed,
)


def test_no_two_runs_share_an_episode_seed() -> None:
    seeds = [
        episode_seed(seed, index, purpose)
        for seed in range(4)
        for purpose in Purpose
        for index in (0, 1, 500, 1_000_002)
    ]
    assert len(set(seeds)) == len(seeds)


def test_the_rule_is_the_documented_one() -> None:
    assert episode_seed(0, 7) == 7
    assert episode_seed(2, 5, Purpose.COLLECT) == (3 * 2 + 1) * 1_000_003 + 5


def test_the_largest_seed_survives_json_and_a_ros_integer() -> None:
    largest = max(episode_seed(LARGEST_SEED, 1_000_002, purpose) for purpose in Purpose)
    assert largest < 2**53
    assert json.loads(json.dumps(float(largest))) == largest


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (LARGEST_SEED + 1, 0), (0, 1_000_003)])
def test_seeds_out_of_range_are_refused(seed: int, index: int) -> None:
    with pytest.raises(ConfigurationError):
        episode_seed(seed, index)


def test_no_start_is_both_tuned_on_collected_from_and_reported() -> None:
    reported = {episode_seed(0, index) for index in range(2000)}
    collected = {episode_seed(0, index, Purpose.COLLECT) for index in range(2000)}
    tuned = {tuning_seed(0, index) for index in range(2000)}
    online = {online_seed(0, index) for index in range(2000)}
    benchmark = {episode_seed(0, index, Purpose.BENCHMARK) for index in range(2000)}
    assert len(reported | collected | tuned | online | benchmark) == 10_000
    with pytest.raises(ConfigurationError, match="too many"):
        online_seed(0, 250_000)


def test_the_benchmark_s_seeds_lie_above_every_other() -> None:
    others = (Purpose.EVALUATE, Purpose.COLLECT, Purpose.REFERENCE)
    largest = max(episode_seed(LARGEST_SEED, 1_000_002, purpose) for purpose in others)
    assert episode_seed(0, 0, Purpose.BENCHMARK) > largest
    assert episode_seed(1, 0, Purpose.BENCHMARK) > episode_seed(0, 1_000_002, Purpose.BENCHMARK)
