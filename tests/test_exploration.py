"""Bursts of random actions: a part of the plan, so that a bag can be recomputed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from gac_ros.exploration import Bursts, BurstSequence
from gac_ros.planning import Plan
from tests.toy import untrained_checkpoint

BURSTS = Bursts(rate=0.1, longest=20, seed=4)


def actions(bursts: Bursts, steps: int = 5000) -> np.ndarray:
    sequence = BurstSequence(bursts, 2)
    return np.array([sequence.apply(np.full(2, 7.0, dtype=np.float32)) for _ in range(steps)])


def test_bursts_last_and_stay_within_the_action_range() -> None:
    taken = actions(BURSTS)
    inside = taken[:, 0] != 7.0
    assert 0.2 < inside.mean() < 0.7
    assert (np.abs(taken[inside]) <= 1.0).all()
    changes = np.flatnonzero(np.diff(taken[:, 0]))
    lengths = np.diff(changes)[~(taken[changes[:-1] + 1, 0] == 7.0)]
    assert lengths.max() <= 20
    assert lengths.mean() > 3.0


def test_equal_seeds_give_equal_bursts_and_a_rate_of_zero_none() -> None:
    assert (actions(BURSTS) == actions(BURSTS)).all()
    assert (actions(BURSTS) != actions(replace(BURSTS, seed=5))).any()
    assert (actions(replace(BURSTS, rate=0.0)) == 7.0).all()


def test_a_burst_can_begin_with_the_episode() -> None:
    seeds = range(20)
    assert all((actions(replace(BURSTS, seed=s, at_start=True), 2) != 7.0).all() for s in seeds)
    assert not all((actions(replace(BURSTS, seed=s), 2) != 7.0).all() for s in seeds)


def test_a_robot_that_is_let_go_stays_so_until_the_end() -> None:
    resting = actions(replace(BURSTS, rest_from=30), 200)
    assert (resting[30:] == 0.0).all()
    assert np.array_equal(resting[:30], actions(BURSTS, 30))
    assert (actions(replace(BURSTS, rate=0.0, rest_from=3), 5)[:, 0] == [7, 7, 7, 0, 0]).all()


def test_a_share_of_exploring_plans_ends_at_rest_whenever() -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    planner = checkpoint.make_planner(
        explore_raise=0.0, explore_known_share=1.0, explore_rest_share=0.5, langevin_steps=1
    )
    plans = [planner.plan("explore", seed) for seed in range(60)]
    rests = [plan.bursts.rest_from for plan in plans if plan.bursts is not None]
    assert 18 < len(rests) < 42
    # No burst comes before, as these plans have a rate of 0.
    assert all(plan.bursts is None or not plan.bursts.at_start for plan in plans)
    length = checkpoint.model.config.episode_length
    known = [step for step in rests if step is not None]
    assert len(known) == len(rests)
    assert 0 <= min(known) < 0.2 * length
    assert 0.8 * length < max(known) < length
    assert planner.plan("exploit", 3).bursts is None


def test_a_recorded_plan_repeats_its_bursts() -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    planner = checkpoint.make_planner(explore_raise=0.0, explore_bursts=0.5, explore_known_share=0)
    plan = planner.plan("explore", 3)
    assert plan.bursts is not None
    again = Plan.from_dict(json.loads(plan.to_json()))
    assert again.bursts == plan.bursts
    policy = checkpoint.make_policy()
    runs = []
    for one in (plan, again, replace(plan, bursts=None)):
        policy.follow(one)
        runs.append([policy.act(np.zeros(4)) for _ in range(20)])
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_new_and_known_plans_of_exploration_are_interrupted_at_rates_of_their_own() -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    planner = checkpoint.make_planner(
        explore_raise=0.0,
        explore_bursts=0.5,
        explore_known_bursts=0.25,
        explore_known_share=0.5,
        explore_interrupted_share=1.0,
    )
    rates = [
        plan.bursts.rate for seed in range(20) if (plan := planner.plan("explore", seed)).bursts
    ]
    assert len(rates) == 20
    assert set(rates) == {0.5, 0.25}
    assert planner.plan("exploit", 3).bursts is None
    known = checkpoint.make_planner(explore_raise=0.0, explore_bursts=0.5, explore_known_share=1.0)
    assert known.plan("explore", 3).bursts is None


def test_a_share_of_the_known_plans_is_followed_as_it_is() -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    planner = checkpoint.make_planner(
        explore_raise=0.0, explore_known_bursts=0.25, explore_known_share=1.0, langevin_steps=1
    )
    interrupted = [planner.plan("explore", seed).bursts is not None for seed in range(40)]
    assert 8 < sum(interrupted) < 32
