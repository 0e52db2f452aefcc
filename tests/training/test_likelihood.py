"""The likelihood in reduced precision, and as one program."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from gac_ros.errors import ConfigurationError
from gac_ros.training.peers import Peers
from gac_ros.training.trainer import StepReport, Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment


def steps(count: int, **settings: bool) -> list[StepReport]:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(**settings), seed=0)
    return [trainer.step() for _ in range(count)]


def test_a_compiled_training_is_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    # Traced into one graph, but not built by the C++ compiler, which takes a minute.
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    usual, compiled = steps(3), steps(3, compile=True)
    for one, other in zip(usual, compiled, strict=True):
        assert other.log_actions == pytest.approx(one.log_actions, rel=1e-4)
        assert other.log_return == pytest.approx(one.log_return, rel=1e-4)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-3)


def test_bfloat16_rounds_the_likelihood_and_leaves_the_weights_as_they_are() -> None:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(bfloat16=True), seed=0)
    (usual,) = steps(1)
    rounded = trainer.step()
    assert rounded.log_actions != usual.log_actions
    assert rounded.log_actions == pytest.approx(usual.log_actions, rel=0.02)
    assert rounded.gradient_norm == pytest.approx(usual.gradient_norm, rel=0.1)
    assert {parameter.dtype for parameter in trainer.model.parameters()} == {torch.float32}
    assert trainer.chains.dtype == torch.float32


def test_bfloat16_learns_what_only_the_plan_can_explain() -> None:
    trainer = Trainer(toy_buffer(), toy_embodiment(), small_config(bfloat16=True), seed=0)
    for _ in range(trainer.config.iterations):
        trainer.step()
    usage = trainer.plan_usage()
    assert usage.own < 0.6 * usage.other


def test_several_processes_cannot_compile() -> None:
    config = small_config(compile=True)
    with pytest.raises(ConfigurationError, match="train in one process"):
        Trainer(toy_buffer(), toy_embodiment(), config, seed=0, peers=Peers(rank=0, count=2))


def test_without_a_compiler_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    torch._dynamo.reset()
    with (
        torch._inductor.config.patch({"cpp.cxx": (None, str(tmp_path / "no-such-compiler"))}),
        pytest.raises(ConfigurationError, match=r"install a C\+\+ compiler"),
    ):
        steps(1, compile=True)
