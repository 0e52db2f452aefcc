"""A new scale of returns that changes no prediction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gac_ros.training.rescale import rescale_returns
from gac_ros.training.trainer import Trainer
from tests.toy import small_config, toy_buffer, toy_embodiment, untrained_checkpoint


def test_predicted_returns_stay_what_they_were() -> None:
    before = untrained_checkpoint(toy_embodiment())
    after = rescale_returns(before, [0.0, 0.0, 300.0])
    assert after.normalizer.return_mean == pytest.approx(100.0)
    assert after.normalizer.return_max == 300.0
    assert after.digest == before.digest
    for mode in ("exploit", "posterior"):
        plan = before.make_planner().plan(mode, 0, target_return=1.0)
        z = torch.from_numpy(plan.z)[None]
        predictions = [
            checkpoint.normalizer.denormalize_return(
                checkpoint.model.predicted_return(z, checkpoint.starts)[0].item()
            )
            for checkpoint in (before, after)
        ]
        assert predictions[1] == pytest.approx(predictions[0], abs=1e-4)


def test_a_model_of_failures_only_learns_from_its_first_success() -> None:
    """Without a new scale the success would be 10,000 standard deviations away."""
    buffer = toy_buffer()
    untrained = untrained_checkpoint(toy_embodiment())
    scale = replace(untrained.normalizer, return_std=1e-3, return_max=0.0)
    failures = replace(untrained, normalizer=scale)
    parent = rescale_returns(failures, list(buffer.returns))
    trainer = Trainer(buffer, toy_embodiment(), small_config(iterations=20), seed=0, parent=parent)
    reports = [trainer.step() for _ in range(20)]
    assert max(report.plan_norm for report in reports) < 50.0
    assert all(abs(report.log_return) < 1e3 for report in reports)


def test_the_scale_never_shrinks() -> None:
    before = untrained_checkpoint(toy_embodiment())
    assert rescale_returns(before, [5.0, 5.0]).normalizer.return_std == before.normalizer.return_std
