"""The joint model: its gradients, its scale, its parts."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gac_ros.model.config import ModelConfig
from gac_ros.model.gac import GacModel, TrajectoryWindows
from gac_ros.model.prior import make_prior


def double_model(**changes: object) -> GacModel:
    """A small model in double precision, fit for finite differences."""
    sizes = {
        "observation_size": 3,
        "action_size": 2,
        "episode_length": 20,
        "context": 3,
        "width": 8,
        "heads": 2,
        "plan_token_size": 3,
        "prior_hidden": 8,
        "return_hidden": 8,
    }
    torch.manual_seed(0)
    model = GacModel(ModelConfig.model_validate({**sizes, **changes})).double()
    with torch.no_grad():  # away from the identity that U starts as
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def random_windows(model: GacModel, batch: int = 2, count: int = 3, length: int = 5):
    config = model.config
    torch.manual_seed(1)
    observations = torch.randn(batch, count, length, config.observation_size).double()
    actions = torch.randn(batch, count, length, config.action_size).double()
    steps = torch.arange(length).expand(batch, count, length)
    everywhere = torch.ones(batch, count, length, dtype=torch.bool)
    return TrajectoryWindows(
        observations,
        torch.zeros_like(actions),
        actions,
        steps,
        everywhere,
        everywhere,
        torch.randn(batch, config.observation_size).double(),
        torch.full((batch,), 20.0).double(),
    )


@pytest.mark.parametrize("prior", ["mlp", "unet", "flow"])
def test_the_gradient_in_z0_agrees_with_finite_differences(prior: str) -> None:
    model = double_model(prior=prior)
    windows = random_windows(model)
    y = torch.tensor([0.3, -0.7]).double()
    z0 = torch.randn(2, 4, 3).double().requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: model.log_joint(x, windows, y).total, (z0,))


def test_rewards_still_to_come_are_explained_from_the_state_they_come_after() -> None:
    model = double_model(return_sees_time=True)
    plain = random_windows(model)
    to_go = torch.randn(2, 3).double()
    windows = replace(plain, to_go=to_go, steps=plain.steps + 4)
    y, z0 = torch.tensor([0.3, -0.7]).double(), torch.randn(2, 4, 3).double()
    z = model.plan(z0)
    left = torch.full((2,), 1.0 - 4.0 / 20.0).double()
    added = torch.stack(
        [
            model.log_return(model.returns(z, windows.observations[:, w, 0], left), to_go[:, w])
            for w in range(3)
        ]
    ).mean(0)
    without = model.log_joint(z0, plain, y).returns
    assert torch.allclose(model.log_joint(z0, windows, y).returns, without + added)
    assert torch.autograd.gradcheck(
        lambda x: model.log_joint(x, windows, y).returns, (z0.requires_grad_(True),)
    )


def test_the_gradient_in_the_weights_agrees_with_finite_differences() -> None:
    model = double_model()
    windows = random_windows(model)
    y = torch.tensor([0.3, -0.7]).double()
    z0 = torch.randn(2, 4, 3).double()
    model.log_joint(z0, windows, y).total.sum().backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        index = parameter.grad.abs().argmax()
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)[index].item()
        with torch.no_grad():
            flat[index] += step
            above = model.log_joint(z0, windows, y).total.sum().item()
            flat[index] -= 2 * step
            below = model.log_joint(z0, windows, y).total.sum().item()
            flat[index] += step
        assert gradient == pytest.approx((above - below) / (2 * step), rel=1e-4, abs=1e-6), name


def test_the_action_likelihood_is_scaled_to_the_whole_episode() -> None:
    model = double_model()
    windows = random_windows(model)
    z = torch.randn(2, 4, 3).double()
    once = model.log_actions(z, windows)
    halved = TrajectoryWindows(
        **{**windows.__dict__, "scored": windows.scored & (windows.steps % 5 == 0)}
    )
    # Fewer scored steps stand for as many steps of the episode.
    per_step = -0.5 * (
        (
            windows.actions
            - model.generator(
                z.repeat_interleave(3, 0),
                windows.observations.view(6, 5, 3),
                windows.previous_actions.view(6, 5, 2),
                windows.steps.reshape(6, 5),
                windows.present.reshape(6, 5),
            ).view(2, 3, 5, 2)
        )
        / 0.4
    ).square().sum(-1)
    assert torch.allclose(once, per_step.mean((1, 2)) * 20.0)
    assert torch.allclose(model.log_actions(z, halved), per_step[:, :, 0].mean(1) * 20.0)


def test_an_episode_without_scored_steps_has_no_action_likelihood() -> None:
    model = double_model()
    windows = random_windows(model)
    nothing = TrajectoryWindows(**{**windows.__dict__, "scored": torch.zeros_like(windows.scored)})
    assert torch.equal(
        model.log_actions(torch.zeros(2, 4, 3).double(), nothing), torch.zeros(2).double()
    )


@pytest.mark.parametrize("prior", ["mlp", "unet", "flow"])
def test_the_prior_starts_as_the_identity(prior: str) -> None:
    transform = make_prior(
        ModelConfig(observation_size=1, action_size=1, episode_length=1, prior=prior)
    )
    z0 = torch.randn(3, 4, 16)
    assert torch.allclose(transform(z0), z0)


def test_the_ensemble_reports_mean_and_spread() -> None:
    model = double_model()
    z, starts = torch.randn(5, 4, 3).double(), torch.randn(7, 3).double()
    mean, spread = model.predicted_return(z, starts)
    members = model.returns.over_starts(z, starts)
    assert torch.allclose(mean, members.mean(-1))
    assert torch.allclose(spread, members.std(-1))
    assert (spread > 0).all()


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of heads"):
        ModelConfig(observation_size=1, action_size=1, episode_length=1, width=10, heads=4)


def test_a_plan_s_return_is_its_mean_over_the_starts() -> None:
    model = double_model()
    z, starts = torch.randn(2, 4, 3).double(), torch.randn(3, 3).double()
    one_by_one = [model.returns(z, start.expand(2, -1)) for start in starts]
    assert torch.allclose(model.returns.over_starts(z, starts), torch.stack(one_by_one).mean(0))


def test_a_critic_that_does_not_see_the_start_ignores_it() -> None:
    model = double_model(return_sees_start=False)
    z = torch.randn(2, 4, 3).double()
    one, other = torch.randn(2, 3).double(), torch.randn(2, 3).double()
    assert torch.equal(model.returns(z, one), model.returns(z, other))
    assert torch.equal(model.returns.over_starts(z, one), model.returns(z, one))
