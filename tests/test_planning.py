"""Planning on a model whose best plan is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from gac_ros.errors import ConfigurationError, EpisodeError
from gac_ros.planning import MODES, Plan, Planner
from tests.toy import untrained_checkpoint


def linear_planner(**overrides: object) -> Planner:
    """The return is the first number of z, and z = z0; the shell bounds it to sqrt(n)."""
    checkpoint = untrained_checkpoint("hopper")
    known = torch.zeros_like(checkpoint.best_plans)
    known[:, 0, 0] = torch.tensor([1.5, 1.2, -1.0])
    checkpoint = replace(checkpoint, best_plans=known)

    class FirstNumber(torch.nn.Module):
        def over_starts(self, z: torch.Tensor, starts: torch.Tensor) -> torch.Tensor:
            return z.flatten(1)[:, :1].expand(-1, 3)

    checkpoint.model.returns = FirstNumber()  # type: ignore[assignment]
    return checkpoint.make_planner(**overrides)


def test_exploitation_climbs_the_return_and_stays_in_the_shell() -> None:
    planner = linear_planner(
        start="prior", exploit_steps=800, exploit_rate=0.05, trust_weight=0.0, shell_weight=10.0
    )
    z0 = planner.exploit(torch.Generator().manual_seed(0))
    radius = np.sqrt(16.0)
    assert z0.flatten(1).norm(dim=-1).max() < radius + 0.1
    assert z0.flatten(1)[0, 0] == pytest.approx(radius, abs=0.15)


def test_without_the_shell_exploitation_runs_away() -> None:
    """Guards the test above: it is the penalty that holds the plan."""
    planner = linear_planner(
        start="prior", exploit_steps=800, exploit_rate=0.05, trust_weight=0.0, shell_weight=0.0
    )
    z0 = planner.exploit(torch.Generator().manual_seed(0))
    assert z0.flatten(1).norm(dim=-1).min() > 10.0


def test_exploited_candidates_come_best_first() -> None:
    planner = linear_planner(start="prior", exploit_steps=3, trust_weight=0.0)
    z0 = planner.exploit(torch.Generator().manual_seed(0)).flatten(1)
    beyond = (z0.norm(dim=-1) - np.sqrt(16.0)).clamp(min=0.0)
    objective = z0[:, 0] - planner.config.shell_weight * beyond.square()
    assert (objective.diff() <= 1e-5).all()


def test_the_trust_region_bounds_how_far_a_plan_moves() -> None:
    # y = first number: E - w d^2 is highest at d = 1 / (2 w).
    planner = linear_planner(start="mode", exploit_steps=800, exploit_rate=0.05, trust_weight=0.5)
    z0 = planner.exploit(torch.Generator().manual_seed(0)).flatten(1)
    assert z0[0, 0] == pytest.approx(1.0, abs=0.02)
    assert z0[0, 1:].abs().max() < 1e-6


def test_the_consensus_is_a_mean_of_the_best_chains() -> None:
    checkpoint = untrained_checkpoint("hopper")
    planner = checkpoint.make_planner(start="consensus", consensus_size=2, exploit_steps=0)
    z0 = planner.exploit(torch.Generator().manual_seed(0))
    assert torch.allclose(z0, checkpoint.best_plans[:2].mean(0, keepdim=True))


@pytest.mark.parametrize("start", [0.3, 2.5])
def test_a_consensus_promises_what_its_plans_do_and_no_more(start: float) -> None:
    # y = first number. The mean of the plans is moved off their promise of 1.35, either way.
    planner = linear_planner(consensus_size=2, exploit_steps=800, trust_weight=0.01)
    moved = torch.zeros_like(planner._best_plans[:1])
    moved[:, 0, 0] = start
    planner._exploit_start = lambda generator: moved  # type: ignore[method-assign]
    z0 = planner.exploit(torch.Generator().manual_seed(0)).flatten(1)
    assert z0[0, 0] == pytest.approx(1.35, abs=0.01)
    assert z0[0, 1:].abs().max() < 1e-6


def test_without_a_known_promise_a_consensus_climbs_as_high_as_trust_lets_it() -> None:
    planner = linear_planner(
        consensus_size=2, exploit_steps=800, trust_weight=0.5, exploit_promise=None
    )
    z0 = planner.exploit(torch.Generator().manual_seed(0)).flatten(1)
    assert z0[0, 0] == pytest.approx(1.35 + 1.0, abs=0.02)


def test_planning_leaves_the_checkpoint_s_plans_as_they_are() -> None:
    checkpoint = untrained_checkpoint("hopper")
    before = checkpoint.best_plans.clone()
    checkpoint.make_planner(start="best").plan("exploit", 0)
    assert torch.equal(checkpoint.best_plans, before)


def test_sampling_matches_the_known_posterior() -> None:
    # z ~ N(0, 1), y | z ~ N(z, 0.2^2) with weight w: precision 1 + w / 0.04.
    planner = linear_planner(langevin_steps=300, langevin_step_size=0.1)
    for weight in (1.0, 4.0):
        precision = 1.0 + weight / 0.04
        samples = planner.sample(2000, 1.5, weight, torch.Generator().manual_seed(0))
        first = samples.flatten(1)[:, 0]
        assert first.mean().item() == pytest.approx(1.5 * weight / 0.04 / precision, abs=0.02)
        others = samples.flatten(1)[:, 1:]
        assert others.std().item() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("mode", MODES)
def test_equal_seeds_give_equal_plans_and_other_seeds_others(mode: str) -> None:
    planner = linear_planner(start="prior", exploit_steps=5)
    one, same, other = (planner.plan(mode, seed) for seed in (3, 3, 4))
    assert np.array_equal(one.z0, same.z0)
    assert not np.array_equal(one.z0, other.z0)
    assert one.mode == mode


def test_exploration_aims_above_the_best_of_the_data_and_exploitation_has_no_target() -> None:
    planner = linear_planner()
    assert planner.plan("explore", 0).target_return > 2.0
    assert planner.plan("posterior", 0).target_return == 2.0
    assert planner.plan("explore", 0, target_return=7.0).target_return == 7.0
    assert planner.plan("exploit", 0).target_return is None


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="exploit, explore, posterior"):
        linear_planner().plan("guess", 0)  # type: ignore[arg-type]


def test_a_plan_keeps_every_digit_through_json() -> None:
    plan = untrained_checkpoint("hopper").make_planner().plan("explore", 5)
    back = Plan.from_dict(json.loads(plan.to_json()))
    assert np.array_equal(back.z0, plan.z0)
    assert np.array_equal(back.z, plan.z)
    assert back.predicted_return == plan.predicted_return
    assert back.target_return == plan.target_return


@pytest.mark.parametrize("content", [{}, {"z0": [[1.0]]}, {"z0": "x", "z": [[1.0]]}])
def test_a_broken_plan_is_a_clear_error(content: dict[str, object]) -> None:
    with pytest.raises(EpisodeError, match="plan cannot be read"):
        Plan.from_dict(content)


def test_exploration_around_known_plans_asks_for_more_than_their_value() -> None:
    planner = linear_planner(
        explore_raise=0.5, explore_known_share=1.0, langevin_steps=300, langevin_step_size=0.2
    )
    known = planner._best_plans.flatten(1)[:, 0]
    plans = [planner.plan("explore", seed) for seed in range(30)]
    assert {plan.from_known for plan in plans} == {True}
    raised = {round(float(value) + 0.5, 4) for value in known}
    targets = {round(plan.target_return, 4) for plan in plans if plan.target_return is not None}
    assert targets <= raised
    # The first is drawn twice as often as the second, and that twice as often as the third.
    chosen = [plan.target_return or 0.0 for plan in plans]
    first, _, third = (float(value) + 0.5 for value in known)
    counts = [sum(abs(target - value) < 0.1 for target in chosen) for value in (first, third)]
    assert counts[0] > 10 > counts[1] > 0
    # p(y+ | z) is narrow, sigma is 0.2: the samples are where they were asked for.
    errors = [plan.predicted_return - (plan.target_return or 0.0) for plan in plans]
    assert np.abs(errors).mean() < 0.4


def test_a_highest_target_holds_for_every_start_and_some_starts_are_new() -> None:
    planner = linear_planner(explore_raise=100.0, explore_target=1.0, explore_known_share=0.5)
    plans = [planner.plan("explore", seed) for seed in range(20)]
    assert {plan.target_return for plan in plans} == {1.0}
    assert {plan.from_known for plan in plans} == {True, False}
    anew = linear_planner(explore_raise=100.0, explore_target=1.0, explore_known_share=0.0)
    assert anew.plan("explore", 0).from_known is None
    assert planner.plan("explore", 0).z0.tolist() == plans[0].z0.tolist()
    assert planner.plan("explore", 0, target_return=0.3).target_return == 0.3
