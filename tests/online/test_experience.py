"""The buffer of an online run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import save_checkpoint
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import EpisodeError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.online.experience import Experience, choose_bags
from gac_ros.planning import PlannerConfig
from tests.toy import untrained_checkpoint

ROBOT = "pointmaze_umaze"


@pytest.fixture(scope="module")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "episodes"
    collect(CollectionRequest(ROBOT, "waypoint", 6, folder, goal="fixed"))
    return folder


def test_the_worst_half_is_the_half_with_the_lowest_returns(episodes: Path) -> None:
    returns = {row.path: row.episode_return for row in list_episodes(episodes)}
    kept = choose_bags([episodes], "worst-half")
    assert len(kept) == 3
    assert sorted(returns[path] for path in kept) == sorted(returns.values())[:3]
    assert choose_bags([episodes], "all") == sorted(returns)


def test_an_empty_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="no complete episode"):
        choose_bags([tmp_path], "worst-half")


def test_collected_episodes_come_in_the_order_of_their_seeds(
    episodes: Path, tmp_path: Path
) -> None:
    bags = choose_bags([episodes], "worst-half")
    experience = Experience(find_embodiment(ROBOT), bags)
    assert experience.offline == 3
    folder = tmp_path / "more"
    collect(CollectionRequest(ROBOT, "random", 3, folder, seed=1))
    seeds = [row.metadata.seed for row in list_episodes(folder) if row.metadata]
    taken = experience.add_collected(folder, seeds[::-1])
    assert [e.metadata.seed for e in taken if e.metadata] == seeds[::-1]
    assert len(experience.buffer()) == len(experience.returns) == 6
    with pytest.raises(EpisodeError, match="missing or damaged"):
        experience.add_collected(folder, [*seeds, 12345])


def test_only_plans_of_episodes_above_most_are_proven(episodes: Path) -> None:
    experience = Experience(find_embodiment(ROBOT), choose_bags([episodes], "all"))
    returns = dict(zip(experience.buffer().ids, experience.returns, strict=True))
    # Of so few episodes, all the others count as begun alike.
    median = float(np.median(experience.returns))
    plans = {name: torch.full((1, 1), value) for name, value in returns.items()}
    proven = experience.proven(plans, experience.merit())
    assert set(proven) == {name for name, value in returns.items() if value > median}
    assert 0 < len(proven) < len(plans)
    assert all(proven[name] is plans[name] for name in proven)


def test_exploring_episodes_are_trials_of_what_their_plans_were_made_of(tmp_path: Path) -> None:
    checkpoint = untrained_checkpoint(ROBOT)
    plans = PlannerConfig(
        explore_raise=0.0,
        explore_known_share=0.7,
        explore_bursts=0.1,
        explore_rest_share=0.5,
        langevin_steps=1,
    )
    first = save_checkpoint(checkpoint.with_planner(plans), tmp_path / "checkpoint")
    experience = Experience(find_embodiment(ROBOT), [])
    returns = {}
    for mode in ("explore", "exploit"):
        collect(
            CollectionRequest(ROBOT, "checkpoint", 12, tmp_path / mode, checkpoint=first, mode=mode)
        )
        taken = experience.add_collected(tmp_path / mode)
        returns[mode] = [episode.episode_return or 0.0 for episode in taken]
    made = [trial.ingredients for trial in experience.trials]
    assert len(made) == 12
    # The plans that start anew are those that bursts interrupt here.
    assert {entry.known for entry in made} == {True, False}
    assert all(entry.interrupted is not entry.known for entry in made)
    assert {entry.rested for entry in made} == {True, False}
    # Of so few episodes, all the others count as begun alike.
    best = [trial.best for trial in experience.trials]
    assert best == [value == max(returns["explore"]) for value in returns["explore"]]


def test_the_online_share_is_a_share_of_the_draws(episodes: Path, tmp_path: Path) -> None:
    experience = Experience(find_embodiment(ROBOT), choose_bags([episodes], "all"))
    assert experience.emphasis(0.5) is None
    folder = tmp_path / "more"
    collect(CollectionRequest(ROBOT, "random", 2, folder, seed=1))
    seeds = [row.metadata.seed for row in list_episodes(folder) if row.metadata]
    experience.add_collected(folder, [seed for seed in seeds if seed is not None])
    factors = experience.emphasis(0.25)
    assert factors is not None
    assert factors[6:].sum() / factors.sum() == pytest.approx(0.25)
    assert len(np.unique(factors[:6])) == 1
    assert experience.emphasis(None) is None
