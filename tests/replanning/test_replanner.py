"""Judging the middle of an episode with a critic whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gac_ros.checkpoint import Checkpoint
from gac_ros.planning import Plan
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.replanner import Replanner
from gac_ros.replanning.situation import Situation
from tests.toy import untrained_checkpoint

LENGTH = 1000  # of the hopper's episodes


class FirstNumbers(torch.nn.Module):
    """The return is the first number of z plus the first of the observation."""

    def forward(self, z: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
        return (z.flatten(1)[:, :1] + starts[:, :1]).expand(-1, 3)


@pytest.fixture
def checkpoint() -> Checkpoint:
    checkpoint = untrained_checkpoint("hopper")
    checkpoint.model.returns = FirstNumbers()  # type: ignore[assignment]
    return replace(checkpoint, starts=torch.tensor([[-1.0] * 11, [1.0] * 11]))


def situation(**changes: Any) -> Situation:
    z0 = np.zeros((4, 4), dtype=np.float32)
    before = Situation(
        step=500,
        plan=Plan(z0, z0, "exploit", 0.0, 0.0),
        promised=1.0,
        reward_sum=0.5,
        observation=np.zeros(11, dtype=np.float32),
        observations=np.zeros((0, 11), dtype=np.float32),
        actions=np.zeros((0, 3), dtype=np.float32),
        may_change=True,
        seed=0,
    )
    return replace(before, **changes)


def better_plans(checkpoint: Checkpoint, value: float) -> Checkpoint:
    known = torch.zeros_like(checkpoint.best_plans)
    known[:, 0, 0] = value
    return replace(checkpoint, best_plans=known)


def test_the_outlook_is_the_return_so_far_and_the_rest_s_share_of_an_episode_from_here(
    checkpoint: Checkpoint,
) -> None:
    replanner = Replanner(checkpoint, ReplanningConfig(when="surprised"))
    observation = np.full(11, 0.8, dtype=np.float32)
    advice = replanner.consider(situation(step=250, reward_sum=3.0, observation=observation))
    assert advice.outlook == pytest.approx(3.0 + 0.75 * 0.8)
    without_rewards = replanner.consider(situation(reward_sum=None, observation=observation))
    assert without_rewards.outlook == pytest.approx(0.8)


def test_the_critic_is_asked_within_the_range_of_the_starts_that_it_knows(
    checkpoint: Checkpoint,
) -> None:
    replanner = Replanner(checkpoint, ReplanningConfig(when="surprised"))
    observation = np.full(11, 7.0, dtype=np.float32)
    advice = replanner.consider(situation(reward_sum=None, observation=observation))
    assert advice.outlook == pytest.approx(1.0)


def test_falling_behind_the_promise_surprises_and_keeping_it_does_not(
    checkpoint: Checkpoint,
) -> None:
    replanner = Replanner(checkpoint, ReplanningConfig(when="surprised", shortfall=0.4))
    assert replanner.consider(situation(promised=0.8)).surprise == ""
    assert replanner.consider(situation(promised=1.0)).surprise == "shortfall"
    assert replanner.consider(situation(promised=None)).surprise == ""


def test_actions_that_are_not_the_plan_s_surprise(checkpoint: Checkpoint) -> None:
    replanner = Replanner(checkpoint, ReplanningConfig(when="surprised"))
    observations = np.random.default_rng(0).normal(size=(20, 11)).astype(np.float32)
    plan = situation().plan
    policy = checkpoint.make_policy()
    policy.follow(plan)
    own = np.array([policy.act(observation) for observation in observations], dtype=np.float32)
    assert np.ptp(own) > 0.1
    for actions, surprise in ((own, ""), (own + 1.5, "unlikely")):
        looked = situation(promised=None, observations=observations, actions=actions)
        assert replanner.consider(looked).surprise == surprise


def test_the_plan_changes_only_when_wanted_allowed_and_promising_enough(
    checkpoint: Checkpoint,
) -> None:
    good = better_plans(checkpoint, 1.2)
    fine, behind = situation(promised=None), situation(promised=1.5)

    def changes(when: str, looked: Situation, margin: float = 0.5, known: Any = good) -> bool:
        config = ReplanningConfig(when=when, margin=margin, langevin_step_size=1e-3)
        return Replanner(known, config).consider(looked).plan is not None

    assert changes("periodic", fine)
    assert not changes("surprised", fine)
    assert changes("surprised", behind)
    assert not changes("never", behind)
    assert not changes("periodic", replace(fine, may_change=False))
    assert not changes("periodic", replace(fine, step=0))
    assert not changes("periodic", fine, margin=1.5)
    assert not changes("periodic", fine, known=better_plans(checkpoint, 0.0))
    # Exploring, a run stays with its own plan.
    exploring = replace(fine, plan=replace(fine.plan, mode="explore"))
    assert not changes("periodic", exploring)


def test_a_plan_that_broke_its_promise_is_believed_that_much_less(checkpoint: Checkpoint) -> None:
    config = ReplanningConfig(
        when="surprised", margin=0.5, chains=3, known_share=1.0, langevin_step_size=1e-3
    )
    worse = Replanner(better_plans(checkpoint, -0.5), config)
    assert worse.consider(situation(promised=1.2)).plan is None
    advice = worse.consider(situation(promised=2.0))
    assert advice.surprise == "shortfall"
    assert advice.plan is not None


def test_the_same_situation_gets_the_same_plan_with_its_promise(checkpoint: Checkpoint) -> None:
    replanner = Replanner(better_plans(checkpoint, 1.2), ReplanningConfig(when="periodic"))
    first, again = (replanner.consider(situation()).plan for _ in range(2))
    other = replanner.consider(situation(seed=1)).plan
    assert first is not None
    assert again is not None
    assert other is not None
    assert np.array_equal(first.z0, again.z0)
    assert not np.array_equal(first.z0, other.z0)
    expected = 0.5 + 0.5 * float(first.z.flat[0])
    assert first.predicted_return == pytest.approx(expected, abs=1e-5)
    assert first.mode == "exploit"


def test_the_samples_go_where_the_return_still_needed_is(checkpoint: Checkpoint) -> None:
    """Of 2.0, 1.5 is earned with half of the episode to go: plans of value 1.0 are asked for."""
    config = ReplanningConfig(langevin_steps=300, langevin_step_size=0.1)
    plan = replace(situation().plan, mode="explore", target_return=2.0)
    start = torch.zeros(64, 4, 4)
    for earned, value in ((1.5, 1.0), (2.0, 0.0)):
        looked = situation(plan=plan, reward_sum=earned)
        samples = Replanner(checkpoint, config).sample(looked, start)
        values = checkpoint.model.plan(samples).flatten(1)[:, 0]
        assert values.mean().item() == pytest.approx(value, abs=0.15)


def test_the_executed_actions_hold_the_plan_where_it_is(checkpoint: Checkpoint) -> None:
    """Actions of a plan pull the samples towards it; without them the prior does."""
    rng = np.random.default_rng(0)
    z0 = (3.0 * rng.normal(size=(4, 4))).astype(np.float32)
    with torch.no_grad():
        z = checkpoint.model.plan(torch.from_numpy(z0)[None])[0].numpy()
    plan = Plan(z0, z, "explore", 0.0, 0.0, target_return=0.0)
    policy = checkpoint.make_policy()
    policy.follow(plan)
    observations = rng.normal(size=(60, 11)).astype(np.float32)
    actions = np.array([policy.act(o) for o in observations], dtype=np.float32)
    config = ReplanningConfig(window=50, langevin_steps=100, langevin_step_size=0.05)
    replanner = Replanner(checkpoint, config)
    looked = situation(plan=plan, observations=observations, actions=actions, reward_sum=None)
    start = torch.from_numpy(z0)[None].repeat(16, 1, 1)

    def likelihood(samples: torch.Tensor) -> float:
        windows = replanner._windows(looked, len(samples))
        assert windows is not None
        return checkpoint.model.log_actions(checkpoint.model.plan(samples), windows).mean().item()

    with_history = likelihood(replanner.sample(looked, start))
    blind = replace(looked, observations=observations[:0], actions=actions[:0])
    assert with_history > likelihood(replanner.sample(blind, start))
