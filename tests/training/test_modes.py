"""Modes explain their episodes better than chains do."""

from __future__ import annotations

import pytest
import torch

from gac_ros.training.modes import find_modes
from gac_ros.training.trainer import Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment


@pytest.fixture(scope="module")
def trained() -> Trainer:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(iterations=60), seed=0)
    for _ in range(60):
        trainer.step()
    return trainer


def test_a_mode_explains_its_episode_better_than_its_chain_does(trained: Trainer) -> None:
    rows = torch.arange(10)
    returns = trained._returns[rows]
    before = [p.clone() for p in trained.model.parameters()]
    modes = find_modes(
        trained.model,
        trained.chains[rows],
        returns,
        lambda: trained._draw_windows(rows.numpy()),
        steps=60,
    )
    windows = trained._draw_windows(rows.numpy(), count=32)
    with torch.no_grad():
        found = trained.model.log_joint(modes, windows, returns).total
        chain = trained.model.log_joint(trained.chains[rows], windows, returns).total
    assert (found > chain).all()
    assert all(map(torch.equal, before, trained.model.parameters()))


def test_without_steps_the_modes_are_the_chains(trained: Trainer) -> None:
    rows = torch.arange(4)
    same = find_modes(
        trained.model,
        trained.chains[rows],
        trained._returns[rows],
        lambda: trained._draw_windows(rows.numpy()),
        steps=0,
    )
    assert torch.equal(same, trained.chains[rows])
