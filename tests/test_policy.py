"""The policy: stepwise actions of a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from gac_ros.exploration import Bursts
from tests.toy import untrained_checkpoint


def test_actions_equal_the_generator_s_full_pass() -> None:
    checkpoint = untrained_checkpoint("hopper")
    policy = checkpoint.make_policy()
    plan = checkpoint.make_planner().plan("explore", 0)
    observations = np.random.default_rng(0).normal(size=(20, 11))
    policy.follow(plan)
    actions = np.array([policy.act(observation) for observation in observations])
    with torch.no_grad():
        full = checkpoint.model.generator(
            torch.from_numpy(plan.z)[None],
            torch.from_numpy(checkpoint.normalizer.normalize_observation(observations))[None],
            torch.zeros(1, 20, 3),
            torch.arange(20)[None],
            torch.ones(1, 20, dtype=torch.bool),
        )
    expected = checkpoint.normalizer.denormalize_action(full[0].numpy())
    assert np.allclose(actions, expected, atol=1e-5, rtol=0.0)


def test_following_a_plan_again_forgets_the_last_episode() -> None:
    checkpoint = untrained_checkpoint("hopper")
    actor = checkpoint.make_actor("exploit")
    observations = np.random.default_rng(0).normal(size=(5, 11))

    def episode() -> list[np.ndarray]:
        actor.begin(1)
        return [actor.act(observation) for observation in observations]

    assert np.array_equal(episode(), episode())


def test_warming_up_leaves_no_trace_and_acting_without_a_plan_is_a_defect() -> None:
    policy = untrained_checkpoint("hopper").make_policy()
    policy.warm_up()
    with pytest.raises(RuntimeError, match="follow"):
        policy.act(np.zeros(11))


def test_rehearsing_leaves_no_trace_and_needs_a_plan() -> None:
    checkpoint = untrained_checkpoint("hopper")
    policy = checkpoint.make_policy()
    with pytest.raises(RuntimeError, match="follow"):
        policy.rehearse()
    observations = np.random.default_rng(0).normal(size=(40, 11))
    plan = checkpoint.make_planner().plan("explore", 0)
    plan = replace(plan, bursts=Bursts(rate=0.3, longest=4, seed=0))  # are not used up either
    policy.follow(plan)
    expected = [policy.act(observation) for observation in observations]
    policy.follow(plan)
    for _ in range(3):
        policy.rehearse()
    again = [policy.act(observation) for observation in observations]
    assert np.array_equal(again, expected)


def test_a_rehearsal_that_fails_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = untrained_checkpoint("hopper")
    policy = checkpoint.make_policy()
    observations = np.random.default_rng(0).normal(size=(5, 11))
    plan = checkpoint.make_planner().plan("explore", 0)
    policy.follow(plan)
    expected = [policy.act(observation) for observation in observations]
    policy.follow(plan)
    with monkeypatch.context() as broken:
        broken.setattr(policy._decoder._layers[-1], "step", None)
        with pytest.raises(TypeError):
            policy.rehearse()
    again = [policy.act(observation) for observation in observations]
    assert np.array_equal(again, expected)
