"""The learning rule on a task that only a plan can explain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.errors import ConfigurationError, EmbodimentError
from gac_ros.model.gac import TrajectoryWindows
from gac_ros.resources import config_directory
from gac_ros.training.config import TrainingConfig, load_training_config, training_config
from gac_ros.training.trainer import Trainer, _return_weights
from tests.toy import (
    SMALL_MODEL,
    STEPS,
    small_config,
    toy_buffer,
    toy_embodiment,
    untrained_checkpoint,
)


@pytest.fixture(scope="module")
def trained() -> Trainer:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(), seed=0)
    for _ in range(trainer.config.iterations):
        trainer.step()
    return trainer


def test_the_plan_is_used(trained: Trainer) -> None:
    """Fails when the decoder ignores z: then all three errors are equal."""
    usage = trained.plan_usage()
    assert usage.own < 0.6 * usage.other
    assert usage.own < 0.6 * usage.prior


def test_exploitation_finds_the_direction_with_the_higher_return(trained: Trainer) -> None:
    actor = trained.checkpoint().make_actor("exploit", start="prior")
    actor.begin(0)
    rng = np.random.default_rng(1)
    actions = np.array([actor.act(rng.normal(size=1)) for _ in range(STEPS)])
    assert actions.mean() > 0.5
    assert actor.plan.predicted_return > 5.0


def test_asking_for_a_low_return_gives_the_other_direction(trained: Trainer) -> None:
    checkpoint = trained.checkpoint()
    actor = checkpoint.make_actor("explore")
    actor.follow(checkpoint.make_planner().plan("explore", 0, target_return=-10.0))
    rng = np.random.default_rng(1)
    actions = np.array([actor.act(rng.normal(size=1)) for _ in range(STEPS)])
    assert actions.mean() < -0.5


def test_behaviour_cloning_averages_over_both_directions() -> None:
    trainer = Trainer(
        toy_buffer(),
        toy_embodiment(),
        small_config(method="behaviour_cloning", return_weighting=0.0, iterations=100),
        seed=0,
    )
    for _ in range(trainer.config.iterations):
        trainer.step()
    assert torch.equal(trainer.chains, torch.zeros_like(trainer.chains))
    actor = trainer.checkpoint().make_actor("exploit")
    actor.begin(0)
    assert not actor.plan.z0.any()
    actions = np.array([actor.act(np.zeros(1)) for _ in range(STEPS)])
    assert abs(actions.mean()) < 0.3


def test_equal_seeds_give_equal_trainings_and_other_seeds_others() -> None:
    def weights(seed: int) -> torch.Tensor:
        trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(), seed=seed)
        for _ in range(5):
            trainer.step()
        return torch.nn.utils.parameters_to_vector(trainer.model.parameters()).detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_asking_for_the_plan_s_use_changes_nothing() -> None:
    def chains(ask: bool) -> torch.Tensor:
        trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(), seed=0)
        for _ in range(3):
            trainer.step()
            if ask:
                trainer.plan_usage()
        return trainer.chains

    assert torch.equal(chains(ask=True), chains(ask=False))


def test_chains_move_before_the_weights_during_the_warm_up() -> None:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(chain_warmup=2), seed=0)
    weights = torch.nn.utils.parameters_to_vector(trainer.model.parameters()).detach().clone()
    chains = trainer.chains.clone()
    trainer.step()
    after = torch.nn.utils.parameters_to_vector(trainer.model.parameters())
    assert torch.equal(weights, after)
    assert not torch.equal(chains, trainer.chains)
    for _ in range(2):
        trainer.step()
    assert not torch.equal(weights, torch.nn.utils.parameters_to_vector(trainer.model.parameters()))


def test_fine_tuning_keeps_weights_normaliser_and_known_chains(trained: Trainer) -> None:
    parent = trained.checkpoint()
    known = dict(zip(trained.episode_ids, trained.chains, strict=True))
    buffer = toy_buffer(episodes=60)
    child = Trainer(
        buffer, toy_embodiment(), small_config(), seed=5, parent=parent, parent_chains=known
    )
    assert child.normalizer is parent.normalizer
    for key, value in parent.model.state_dict().items():
        assert torch.equal(child.model.state_dict()[key], value)
    assert torch.equal(child.chains[:40], trained.chains)
    assert child.plan_usage().own < 0.9 * child.plan_usage().other


def test_a_parent_of_another_robot_is_refused() -> None:
    with pytest.raises(EmbodimentError, match="does not fit"):
        Trainer(
            toy_buffer(),
            toy_embodiment(),
            small_config(),
            seed=0,
            parent=untrained_checkpoint("hopper"),
        )


def test_wrong_settings_are_named() -> None:
    with pytest.raises(ConfigurationError, match="iterationz: unknown key"):
        training_config({"iterationz": 3}, origin="file.yaml")
    with pytest.raises(ConfigurationError, match=r"model: width: .*\(it is -1\)"):
        training_config({"model": {"width": -1}}, origin="f").model_for(toy_embodiment())


def test_the_settings_file_in_the_package_states_the_built_in_values() -> None:
    packaged = load_training_config(config_directory() / "train" / "default.yaml")
    assert packaged.model_copy(update={"model": {}}) == TrainingConfig()
    built_in = TrainingConfig().model_for(toy_embodiment())
    assert packaged.model_for(toy_embodiment()) == built_in


def test_the_settings_file_for_fine_tuning_is_valid() -> None:
    load_training_config(config_directory() / "train" / "finetune.yaml")


def test_the_modes_of_the_episodes_of_highest_value_are_kept_best_first(trained: Trainer) -> None:
    checkpoint = trained.checkpoint()
    model = checkpoint.model

    def value(z0: Tensor) -> Tensor:
        return model.predicted_return(model.plan(z0), checkpoint.starts)[0]

    kept = value(checkpoint.best_plans)
    assert (kept.diff() <= 1e-6).all()
    best = value(trained.chains).argsort(descending=True)[: len(kept)]
    windows = trained._draw_windows(best.numpy(), count=32)
    returns = trained._returns[best]
    with torch.no_grad():
        chains = model.log_joint(trained.chains[best], windows, returns).total
        # Best first: the order of the modes is their own.
        every = [
            model.log_joint(mode.expand_as(trained.chains[best]), windows, returns).total
            for mode in checkpoint.best_plans
        ]
    assert (torch.stack(every).max(0).values > chains).all()


def test_without_a_climb_the_chains_of_highest_value_are_kept() -> None:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(mode_steps=0), seed=0)
    plans = trainer.checkpoint().best_plans
    chains = {tuple(chain.flatten().tolist()) for chain in trainer.chains}
    assert {tuple(plan.flatten().tolist()) for plan in plans} <= chains
    assert len(plans) == trainer.config.best_plans


def test_the_return_s_power_decides_how_much_the_best_episodes_are_preferred() -> None:
    returns = np.array([-1.0, 0.0, 1.0, 3.0])
    assert np.allclose(_return_weights(returns, 1.0), np.array([0.0, 1.0, 2.0, 4.0]) / 7.0)
    assert np.allclose(_return_weights(returns, 2.0), np.array([0.0, 1.0, 4.0, 16.0]) / 21.0)
    assert np.allclose(_return_weights(np.full(5, 3.0), 2.0), 0.2)


def test_emphasis_decides_how_often_an_episode_is_drawn() -> None:
    emphasis = np.zeros(40)
    emphasis[7:12] = 1.0
    trainer = Trainer(
        toy_buffer(), toy_embodiment(), small_config(batch_episodes=5), seed=0, emphasis=emphasis
    )
    before = trainer.chains.clone()
    trainer.step()
    moved = (trainer.chains != before).flatten(1).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [7, 8, 9, 10, 11]


def test_the_critic_can_be_taught_by_the_rewards_still_to_come() -> None:
    config = small_config(step_rewards=True, model={**SMALL_MODEL, "return_sees_time": True})
    rng = np.random.default_rng(0)
    episodes = []
    for episode in toy_buffer():
        rewards = rng.normal(size=len(episode.actions))
        episodes.append(replace(episode, rewards=rewards, episode_return=rewards.sum()))
    buffer = EpisodeBuffer(episodes, toy_buffer().ids)
    trainer = Trainer(buffer, toy_embodiment(), config, seed=0)
    windows = trainer._draw_windows(np.array([3, 8]))
    assert windows.to_go is not None
    inside = windows.burn_in + windows.present[..., windows.burn_in :].int().argmax(-1)
    for row, index in enumerate((3, 8)):
        for window, position in enumerate(inside[row]):
            step = int(windows.steps[row, window, position])
            expected = buffer[index].rewards[step:].sum()
            found = float(windows.to_go[row, window]) * trainer.normalizer.return_std
            assert found + trainer.normalizer.return_mean == pytest.approx(expected, abs=1e-4)
    for _ in range(3):
        assert np.isfinite(trainer.step().log_return)


def test_rewards_that_do_not_add_up_to_the_return_cannot_teach() -> None:
    config = small_config(step_rewards=True, model={**SMALL_MODEL, "return_sees_time": True})
    with pytest.raises(ConfigurationError, match="do not add up to its return"):
        Trainer(toy_buffer(), toy_embodiment(), config, seed=0)
    with pytest.raises(ConfigurationError, match="return_sees_time"):
        Trainer(toy_buffer(), toy_embodiment(), small_config(step_rewards=True), seed=0)


def test_shifted_windows_look_like_the_beginning_of_an_episode() -> None:
    def draw(time_shift: float) -> TrajectoryWindows:
        config = small_config(time_shift=time_shift)
        trainer = Trainer(toy_buffer(), toy_embodiment(), config, seed=0)
        return trainer._draw_windows(np.arange(40))

    plain, shifted = draw(0.0), draw(1.0)
    assert torch.equal(plain.scored, shifted.scored)
    assert torch.equal(plain.actions, shifted.actions)
    assert (shifted.steps <= plain.steps).all()
    assert (shifted.steps < plain.steps).any()
    # What is scored is never before the start; what is, is hidden.
    assert (shifted.steps[shifted.scored] >= 0).all()
    assert not shifted.present[shifted.steps < 0].any()
    assert shifted.present[shifted.scored].all()
