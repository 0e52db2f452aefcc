"""Langevin sampling against posteriors known in closed form."""

from __future__ import annotations

import torch

from gac_ros.model.config import ModelConfig
from gac_ros.model.gac import GacModel
from gac_ros.model.langevin import sample_langevin


def test_chains_reach_a_known_gaussian_posterior() -> None:
    # z ~ N(0, 1), y | z ~ N(2 z, 0.5^2): the posterior of z given y is Gaussian.
    slope, noise, y = 2.0, 0.5, 1.5
    precision = 1.0 + slope**2 / noise**2
    mean = slope * y / noise**2 / precision

    def log_density(z: torch.Tensor) -> torch.Tensor:
        return (-0.5 * z.square() - 0.5 * ((y - slope * z) / noise).square()).sum(-1)

    samples = sample_langevin(
        log_density,
        torch.zeros(20_000, 1),
        steps=400,
        step_size=0.05,
        generator=torch.Generator().manual_seed(0),
    )
    # The discretisation widens the posterior by a factor 1 / (1 - s^2 precision / 4) = 1.01.
    assert abs(samples.mean().item() - mean) < 0.01
    assert abs(samples.var().item() * precision - 1.0) < 0.05


def test_the_same_generator_state_gives_the_same_samples() -> None:
    def draw(seed: int) -> torch.Tensor:
        return sample_langevin(
            lambda z: -0.5 * z.square().sum(-1),
            torch.zeros(3, 4),
            steps=5,
            step_size=0.3,
            generator=torch.Generator().manual_seed(seed),
        )

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_samples_of_the_prior_alone_are_standard_normal() -> None:
    torch.manual_seed(0)
    model = GacModel(
        ModelConfig(
            observation_size=2, action_size=1, episode_length=10, plan_tokens=2, plan_token_size=2
        )
    )
    samples = sample_langevin(
        model.log_prior,
        torch.zeros(10_000, 2, 2),
        steps=600,
        step_size=0.2,
        generator=torch.Generator().manual_seed(0),
    )
    assert samples.mean().abs().item() < 0.02
    assert abs(samples.var().item() - 1.0) < 0.05
