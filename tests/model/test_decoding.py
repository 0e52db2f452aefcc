"""The folded decoder gives the reference's actions, whatever the model's shape and weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gac_ros.checkpoint import load_checkpoint
from gac_ros.model.decoding import FoldedDecoder, ReferenceDecoder, make_decoder
from gac_ros.model.generator import Generator
from gac_ros.resources import packaged_checkpoint
from tests.model.test_generator import small_config

TOLERANCE = 1e-5


def generator_of_random_weights(**changes: object) -> Generator:
    """Every parameter away from its start, where gains of one and biases of zero hide mistakes."""
    torch.manual_seed(0)
    generator = Generator(small_config(**changes)).eval().requires_grad_(False)
    for name, parameter in generator.named_parameters():
        parameter += (0.3 if "norm" in name or "bias" in name else 0.03) * torch.randn_like(
            parameter
        )
    return generator


def actions(decoder: FoldedDecoder | ReferenceDecoder, z: np.ndarray, observations: np.ndarray):
    decoder.start(z)
    return np.array([decoder.step(observation) for observation in observations])


def episode(generator: Generator, length: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    config = generator.config
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(config.plan_tokens, config.plan_token_size))
    observations = rng.normal(size=(length, config.observation_size))
    return z.astype(np.float32), observations.astype(np.float32)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"action_tokens": True},
        {"context": 1},
        {"layers": 1, "heads": 1},
        {"heads": 16},
        {"time_frequencies": 0},
        {"observation_frequencies": 3},
        {"plan_tokens": 1},
        {"observation_size": 1, "action_size": 1},
    ],
    ids=str,
)
def test_it_equals_the_reference_over_episodes_longer_than_the_window(
    shape: dict[str, object],
) -> None:
    generator = generator_of_random_weights(**shape)
    # Longer also than the episode length that the table of time features is made for.
    z, observations = episode(generator, 2 * generator.config.episode_length + 7)
    fast = actions(FoldedDecoder(generator), z, observations)
    reference = actions(ReferenceDecoder(generator), z, observations)
    assert np.ptp(reference) > 0.1
    assert np.abs(fast - reference).max() <= TOLERANCE


def test_it_equals_the_reference_with_the_packaged_weights() -> None:
    generator = load_checkpoint(packaged_checkpoint("pointmaze_umaze")).model.generator
    z, observations = episode(generator, 400)
    fast = actions(FoldedDecoder(generator), z, observations)
    reference = actions(ReferenceDecoder(generator), z, observations)
    assert np.abs(fast - reference).max() <= TOLERANCE


def test_starting_again_forgets_the_history_and_the_plan() -> None:
    generator = generator_of_random_weights(action_tokens=True)
    decoder = FoldedDecoder(generator)
    z, observations = episode(generator, 30)
    fresh = actions(decoder, z, observations)
    actions(decoder, *episode(generator, 11, seed=1))
    assert np.array_equal(actions(decoder, z, observations), fresh)


@pytest.mark.parametrize("decoder_class", [FoldedDecoder, ReferenceDecoder])
@pytest.mark.parametrize("steps", [1, 3, 40])
def test_rewinding_forgets_the_history_to_the_last_bit_and_keeps_the_plan(
    decoder_class: type[FoldedDecoder | ReferenceDecoder], steps: int
) -> None:
    generator = generator_of_random_weights(action_tokens=True)
    z, observations = episode(generator, 30)
    expected = actions(decoder_class(generator), z, observations)
    decoder = decoder_class(generator)
    with pytest.raises(RuntimeError, match="start"):
        decoder.rewind()
    actions(decoder, z, episode(generator, steps, seed=1)[1])
    decoder.rewind()
    again = np.array([decoder.step(observation) for observation in observations])
    assert np.array_equal(again, expected)


def test_an_action_stays_when_the_next_one_is_made() -> None:
    generator = generator_of_random_weights()
    decoder = FoldedDecoder(generator)
    z, (first, second) = episode(generator, 2)
    decoder.start(z)
    action = decoder.step(first)
    before = action.copy()
    decoder.step(second)
    assert np.array_equal(action, before)


def test_attention_scores_beyond_the_range_of_the_exponential_stay_finite() -> None:
    generator = generator_of_random_weights()
    for layer in generator.layers:
        layer.query_key_value.weight.mul_(40.0)
        layer.plan_key_value.weight.mul_(40.0)
    z, observations = episode(generator, 20)
    assert np.isfinite(actions(FoldedDecoder(generator), z, observations)).all()


def test_the_cpu_gets_the_folded_decoder() -> None:
    assert isinstance(make_decoder(generator_of_random_weights()), FoldedDecoder)


@pytest.mark.parametrize("shape", [{}, {"action_tokens": True}, {"time_frequencies": 2}], ids=str)
def test_a_change_of_plan_keeps_the_history_and_soon_acts_like_the_new_plan_from_the_start(
    shape: dict[str, object],
) -> None:
    generator = generator_of_random_weights(**shape)
    burn_in = generator.config.burn_in
    first, observations = episode(generator, 10 + burn_in + 5)
    second, _ = episode(generator, 1, seed=1)
    changed = {}
    for decoder in (FoldedDecoder(generator), ReferenceDecoder(generator)):
        before = actions(decoder, first, observations[:10])
        decoder.change(second)
        after = np.array([decoder.step(observation) for observation in observations[10:]])
        changed[type(decoder)] = np.concatenate((before, after))
    fast, reference = changed[FoldedDecoder], changed[ReferenceDecoder]
    assert np.abs(fast - reference).max() <= TOLERANCE
    old = actions(ReferenceDecoder(generator), first, observations)
    new = actions(ReferenceDecoder(generator), second, observations)
    assert np.array_equal(reference[:10], old[:10])
    assert np.abs(reference[10] - old[10]).max() > 1e-3
    if not generator.config.action_tokens:  # else its own past actions stay different
        assert np.abs(reference[10 + burn_in :] - new[10 + burn_in :]).max() <= TOLERANCE


def test_changing_a_plan_before_there_is_one_is_a_defect() -> None:
    generator = generator_of_random_weights()
    z, _ = episode(generator, 1)
    for decoder in (FoldedDecoder(generator), ReferenceDecoder(generator)):
        with pytest.raises(RuntimeError, match="start"):
            decoder.change(z)
