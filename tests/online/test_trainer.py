"""Training with plans that are known because they acted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

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


def credited(lengths: Sequence[int], values: dict[int, float]) -> list[NDArray[np.float64]]:
    return [np.full(steps, values.get(row, 0.0)) for row, steps in enumerate(lengths)]


def test_credit_decides_what_is_drawn_and_whose_plans_are_best() -> None:
    buffer = toy_buffer()
    credit = credited(buffer.lengths, {3: 0.5, 8: 1.0})
    config = small_config(return_weighting=1.0, batch_episodes=2, best_plans=2, mode_steps=0)
    trainer = KnownPlansTrainer(buffer, toy_embodiment(), config, seed=0, known={}, credit=credit)
    before = trainer.chains.clone()
    trainer.step()
    moved = (trainer.chains != before).flatten(1).any(1)
    assert moved.nonzero().flatten().tolist() == [3, 8]
    best = trainer.checkpoint().best_plans
    assert torch.equal(best, trainer.chains[[8, 3]])


def test_most_windows_hold_a_step_with_credit() -> None:
    buffer = toy_buffer()
    config = small_config(windows=4, window_length=3)
    credit = credited(buffer.lengths, {})
    credit[2][7] = 1.0
    trainer = KnownPlansTrainer(buffer, toy_embodiment(), config, seed=0, known={}, credit=credit)
    starts = trainer._window_starts(np.array([2, 5] * 200), 4)
    holds = (starts <= 7) & (starts > 7 - 3)
    assert 0.6 < holds[::2].mean() < 0.95
    # Without credit the windows are spread over the episode.
    plain = KnownPlansTrainer(buffer, toy_embodiment(), config, seed=0, known={})
    spread = plain._window_starts(np.array([2, 5] * 200), 4)
    assert holds[1::2].mean() < 0.5
    assert abs(starts[1::2].mean() - spread[1::2].mean()) < 1.0


def test_without_any_credit_it_is_the_trainer() -> None:
    arguments = (toy_buffer(), toy_embodiment(), small_config())
    nothing = credited(toy_buffer().lengths, {})
    none = KnownPlansTrainer(*arguments, seed=0, known={}, credit=nothing)
    plain = Trainer(*arguments, seed=0)
    for trainer in (none, plain):
        trainer.step()
    assert torch.equal(none.checkpoint().best_plans, plain.checkpoint().best_plans)
