"""Collecting episodes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.summary import list_episodes
from gac_ros.errors import ConfigurationError, OutputError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.results import EpisodeResult

UMAZE = "pointmaze_umaze"


def test_the_noisy_waypoint_controller_reaches_the_goal_only_sometimes(tmp_path: Path) -> None:
    results = collect(CollectionRequest(UMAZE, "waypoint", 30, tmp_path))
    returns = [r.episode_return or 0.0 for r in results]
    assert max(returns) > 50.0
    assert sum(value == 0.0 for value in returns) >= 5
    buffer = EpisodeBuffer.open(tmp_path)
    assert sorted(buffer.returns) == sorted(returns)


def test_the_expert_beats_the_random_policy(tmp_path: Path) -> None:
    def mean_score(**options: object) -> float:
        request = CollectionRequest(UMAZE, episodes=5, out=tmp_path, **options)  # type: ignore[arg-type]
        return float(np.mean([r.normalized_score or 0.0 for r in collect(request)]))

    assert mean_score(behaviour="waypoint", goal="fixed", noise=0.0) > 80.0
    assert mean_score(behaviour="random") < 40.0


def test_another_seed_adds_other_episodes_to_the_folder(tmp_path: Path) -> None:
    for seed in (0, 1):
        collect(CollectionRequest(UMAZE, "random", 2, tmp_path, seed=seed))
    buffer = EpisodeBuffer.open(tmp_path)
    assert len(buffer) == 4
    assert len({episode.observations[0].tobytes() for episode in buffer}) == 4


def test_an_interruption_keeps_the_finished_episodes(tmp_path: Path) -> None:
    seen: list[EpisodeResult] = []

    def interrupt_after_two(result: EpisodeResult) -> None:
        seen.append(result)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(CollectionRequest(UMAZE, "random", 5, tmp_path), interrupt_after_two)
    assert [row.state for row in list_episodes(tmp_path)] == ["complete", "complete"]


def test_the_waypoint_behaviour_is_refused_outside_of_mazes(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hopper"):
        collect(CollectionRequest("hopper", "waypoint", 1, tmp_path))


def test_a_checkpoint_without_the_behaviour_of_that_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--behaviour checkpoint"):
        collect(CollectionRequest(UMAZE, "random", 1, tmp_path, checkpoint=tmp_path))


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        collect(CollectionRequest(UMAZE, "random", 1, tmp_path / "file"))
