"""The step that compilers are given makes the reference's decisions."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch

from gac_ros.model.decoding import ReferenceDecoder
from gac_ros.model.generator import Generator
from tests.model.test_generator import small_config
from tests.scripts import load_script


@pytest.fixture(scope="module")
def runtimes() -> ModuleType:
    return load_script("decision_runtimes")


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", ["as it is", "TorchScript"])
def test_a_step_without_state_gives_the_reference_s_actions(
    runtimes: ModuleType, name: str
) -> None:
    torch.manual_seed(0)
    config = small_config(action_tokens=False, time_frequencies=0)
    generator = Generator(config).eval().requires_grad_(False)
    for parameter in generator.parameters():
        parameter += 0.1 * torch.randn_like(parameter)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(config.plan_tokens, config.plan_token_size)).astype(np.float32)
    observations = rng.normal(size=(12, config.observation_size)).astype(np.float32)
    if name == "TorchScript":
        way = runtimes.traced(generator, runtimes.example(generator, z))
    else:
        way = runtimes.Compiled(generator, runtimes.StaticStep(generator))
    wanted, _ = runtimes.run(ReferenceDecoder(generator), z, observations)
    for _ in range(2):  # the second episode knows nothing of the first
        actions, seconds = runtimes.run(way, z, observations)
        np.testing.assert_allclose(actions, wanted, atol=1e-5)
    assert len(seconds) == len(observations)


def test_a_runtime_that_is_not_there_is_left_out_with_the_reason(
    runtimes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'onnxruntime'")

    monkeypatch.setattr(runtimes, "OTHERS", {"ONNX Runtime": missing})
    generator = Generator(small_config(action_tokens=False, time_frequencies=0)).eval()
    z = np.zeros((generator.config.plan_tokens, generator.config.plan_token_size), np.float32)
    ways, left_out = runtimes.make_ways(generator, z)
    assert set(ways) == {runtimes.POLICY, runtimes.REFERENCE}
    assert left_out == {"ONNX Runtime": "ModuleNotFoundError: No module named 'onnxruntime'"}
