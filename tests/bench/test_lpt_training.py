"""LPT's step, which the trainer's speed is measured against, does what LPT's step does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gac_ros.bench.lpt_training import LptTrainer
from gac_ros.bench.training import sized_episodes
from gac_ros.model.gac import TrajectoryWindows
from tests.toy import STEPS, small_config, toy_buffer, toy_embodiment


def trainer(*, action_tokens: bool = False) -> LptTrainer:
    return LptTrainer(
        toy_buffer(), toy_embodiment(), small_config(), seed=0, action_tokens=action_tokens
    )


@pytest.mark.parametrize("action_tokens", [False, True])
def test_its_likelihood_is_the_model_s_with_one_window_over_the_whole_episode(
    action_tokens: bool,
) -> None:
    lpt = trainer(action_tokens=action_tokens)
    indices = np.array([3, 8, 20])
    whole = lpt.trajectories(indices)
    z0, y = lpt.chains[indices], torch.randn(3)
    windows = TrajectoryWindows(
        observations=whole.observations[:, None],
        previous_actions=whole.previous_actions[:, None],
        actions=whole.actions[:, None],
        steps=whole.steps[:, None],
        present=torch.ones(3, 1, STEPS, dtype=torch.bool),
        scored=whole.scored[:, None],
        starts=whole.starts,
        lengths=torch.full((3,), float(STEPS)),
    )
    joint = lpt.model.log_joint(z0, windows, y)
    assert torch.allclose(lpt.log_data(z0, whole, y), joint.actions + joint.returns, atol=1e-3)


def test_padding_changes_no_likelihood() -> None:
    embodiment, buffer = sized_episodes("hopper")
    lpt = LptTrainer(buffer, embodiment, small_config(), seed=0, action_tokens=False)
    short, long = int(buffer.lengths.argmin()), int(buffer.lengths.argmax())
    y = torch.zeros(2)
    together = lpt.log_data(lpt.chains[[short, long]], lpt.trajectories(np.array([short, long])), y)
    alone = lpt.log_data(lpt.chains[[short]], lpt.trajectories(np.array([short])), y[:1])
    assert torch.allclose(together[:1], alone, rtol=1e-4)


def test_a_step_moves_the_batch_s_chains_and_raises_the_likelihood_over_time() -> None:
    lpt = trainer()
    everything = np.arange(len(lpt.chains))
    whole = lpt.trajectories(everything)
    before, chains = lpt.log_data(lpt.chains, whole, torch.zeros(len(everything))), lpt.chains
    chains = chains.clone()
    lpt.step()
    moved = (lpt.chains != chains).flatten(1).any(-1)
    assert moved.sum() == small_config().batch_episodes
    for _ in range(40):
        lpt.step()
    after = lpt.log_data(lpt.chains, whole, torch.zeros(len(everything)))
    assert after.mean() > before.mean()
