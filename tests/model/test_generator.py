"""The generator: stepping with the ring cache equals the full pass over the episode."""

from __future__ import annotations

import pytest
import torch

from gac_ros.model.config import ModelConfig
from gac_ros.model.generator import Generator

TOLERANCE = 1e-5


def small_config(**changes: object) -> ModelConfig:
    sizes = {
        "observation_size": 3,
        "action_size": 2,
        "episode_length": 60,
        "context": 4,
        "width": 16,
        "heads": 2,
        "layers": 3,
        "plan_token_size": 5,
    }
    return ModelConfig.model_validate({**sizes, **changes})


def random_generator(config: ModelConfig, seed: int = 0) -> Generator:
    torch.manual_seed(seed)
    generator = Generator(config)
    with torch.no_grad():  # zeros at the start would hide a wrong distance
        for layer in generator.layers:
            layer.distance_bias.normal_()
    return generator


def random_episode(config: ModelConfig, length: int, batch: int = 2):
    z = torch.randn(batch, config.plan_tokens, config.plan_token_size)
    observations = torch.randn(batch, length, config.observation_size)
    previous = torch.randn(batch, length, config.action_size)
    previous[:, 0] = 0.0
    steps = torch.arange(length).expand(batch, length)
    return z, observations, previous, steps


@pytest.mark.parametrize("action_tokens", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_stepwise_decoding_equals_the_full_pass_for_episodes_longer_than_the_window(
    action_tokens: bool, layers: int
) -> None:
    config = small_config(action_tokens=action_tokens, layers=layers)
    generator = random_generator(config)
    length = 5 * config.context + 3
    z, observations, previous, steps = random_episode(config, length)
    with torch.no_grad():
        full = generator(z, observations, previous, steps, torch.ones(2, length, dtype=torch.bool))
        cache = generator.start(z)
        for step in range(length):
            action = generator.step(cache, observations[:, step], previous[:, step])
            assert torch.allclose(action, full[:, step], atol=TOLERANCE, rtol=0.0), step


@pytest.mark.parametrize("action_tokens", [False, True])
def test_a_window_with_its_burn_in_equals_the_full_pass(action_tokens: bool) -> None:
    config = small_config(action_tokens=action_tokens)
    generator = random_generator(config)
    length, scored = 40, 6
    z, observations, previous, steps = random_episode(config, length)
    everything = torch.ones(2, length, dtype=torch.bool)
    with torch.no_grad():
        full = generator(z, observations, previous, steps, everything)
        first = 25
        window = slice(first - config.burn_in, first + scored)
        shifted = previous[:, window].clone()
        shifted[:, 0] = 0.0  # what the trainer does not know: the action before the window
        part = generator(
            z, observations[:, window], shifted, steps[:, window], everything[:, window]
        )
    assert torch.allclose(
        part[:, config.burn_in :], full[:, first : first + scored], atol=TOLERANCE, rtol=0.0
    )


def test_one_step_less_of_burn_in_is_not_enough() -> None:
    """Guards the test above: were the burn-in too generous, a shorter one would do as well."""
    config = small_config()
    generator = random_generator(config)
    z, observations, previous, steps = random_episode(config, 40)
    everything = torch.ones(2, 40, dtype=torch.bool)
    with torch.no_grad():
        full = generator(z, observations, previous, steps, everything)
        window = slice(25 - (config.burn_in - 1), 26)
        part = generator(
            z, observations[:, window], previous[:, window], steps[:, window], everything[:, window]
        )
    assert (part[:, -1] - full[:, 25]).abs().max() > TOLERANCE


@pytest.mark.parametrize("action_tokens", [False, True])
def test_absent_steps_before_the_start_change_nothing(action_tokens: bool) -> None:
    config = small_config(action_tokens=action_tokens)
    generator = random_generator(config)
    z, observations, previous, steps = random_episode(config, 10)
    present = torch.ones(2, 10, dtype=torch.bool)
    pad = 4
    with torch.no_grad():
        full = generator(z, observations, previous, steps, present)
        padded = generator(
            z,
            torch.cat((torch.zeros(2, pad, config.observation_size), observations), dim=1),
            torch.cat((torch.zeros(2, pad, config.action_size), previous), dim=1),
            torch.cat((torch.arange(-pad, 0).expand(2, pad), steps), dim=1),
            torch.cat((torch.zeros(2, pad, dtype=torch.bool), present), dim=1),
        )
    assert torch.isfinite(padded).all()
    assert torch.allclose(padded[:, pad:], full, atol=TOLERANCE, rtol=0.0)


def test_an_action_depends_on_no_later_observation() -> None:
    config = small_config()
    generator = random_generator(config)
    z, observations, previous, steps = random_episode(config, 12)
    present = torch.ones(2, 12, dtype=torch.bool)
    with torch.no_grad():
        before = generator(z, observations, previous, steps, present)
        observations[:, 7:] += 1.0
        after = generator(z, observations, previous, steps, present)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.allclose(before[:, 7:], after[:, 7:])


def test_the_plan_changes_the_action() -> None:
    config = small_config()
    generator = random_generator(config)
    z, observations, previous, steps = random_episode(config, 12)
    present = torch.ones(2, 12, dtype=torch.bool)
    with torch.no_grad():
        one = generator(z, observations, previous, steps, present)
        other = generator(z + 1.0, observations, previous, steps, present)
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("action_tokens", [False, True])
@pytest.mark.parametrize("burn_in", [1, 9, 13])
def test_leaving_out_the_burn_in_s_actions_changes_neither_the_others_nor_their_gradients(
    action_tokens: bool, burn_in: int
) -> None:
    config = small_config(action_tokens=action_tokens)
    z, observations, previous, steps = random_episode(config, 14)
    present = steps >= 3  # with absent steps at the front, as at an episode's start

    def actions_and_gradients(left_out: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
        generator = random_generator(config)
        actions = generator(z, observations, previous, steps, present, left_out)
        actions = actions[:, burn_in - left_out :]
        return actions, list(
            torch.autograd.grad(actions.square().sum(), list(generator.parameters()))
        )

    actions, gradients = actions_and_gradients(burn_in)
    expected, expected_gradients = actions_and_gradients(0)
    assert torch.allclose(actions, expected, atol=TOLERANCE, rtol=0.0)
    for gradient, other in zip(gradients, expected_gradients, strict=True):
        assert torch.allclose(gradient, other, atol=1e-4, rtol=1e-4)
