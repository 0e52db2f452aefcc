"""Training with plans that are known because they acted."""

from __future__ import annotations

import torch

from gac_ros.online.trainer import KnownPlansTrainer
from gac_ros.training.trainer import Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment


def test_known_plans_are_held_and_the_others_move() -> None:
    buffer = toy_buffer()
    known = {name: torch.full((4, 4), 0.5) for name in buffer.ids[30:]}
    trainer = KnownPlansTrainer(
        buffer, toy_embodiment(), small_config(batch_episodes=40), seed=0, known=known
    )
    before = trainer.chains.clone()
    weights = torch.nn.utils.parameters_to_vector(trainer.model.parameters()).detach().clone()
    for _ in range(3):
        trainer.step()
    assert (trainer.chains[30:] == 0.5).all()
    assert (trainer.chains[:30] != before[:30]).flatten(1).all(dim=1).all()
    after = torch.nn.utils.parameters_to_vector(trainer.model.parameters())
    assert not torch.equal(weights, after)


def test_without_known_plans_it_is_the_trainer() -> None:
    def weights(trainer: Trainer) -> torch.Tensor:
        for _ in range(3):
            trainer.step()
        return torch.nn.utils.parameters_to_vector(trainer.model.parameters()).detach()

    arguments = (toy_buffer(), toy_embodiment(), small_config())
    plain = weights(Trainer(*arguments, seed=0))
    assert torch.equal(plain, weights(KnownPlansTrainer(*arguments, seed=0, known={})))
