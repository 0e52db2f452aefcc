"""Which plan a candidate exploits with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gac_ros.online.plans import candidate_plans, following, mean_ranks, rank_plans, trial_count
from tests.toy import untrained_checkpoint


def test_the_best_plan_is_left_and_bad_ones_are_tried_the_least() -> None:
    worth = [1.0, 5.0, 3.0, 9.0, 2.0, 8.0, 0.0, 4.0]
    tried: list[tuple[int, tuple[int, ...]]] = []

    def trial(index: int, seeds: Sequence[int]) -> list[float]:
        tried.append((index, tuple(seeds)))
        return [worth[index] + seed % 2 for seed in seeds]

    order = rank_plans(8, 2, range(100), trial)
    assert order == [3, 5, 1, 7, 2, 4, 0, 6]
    assert [sum(index == k for index, _ in tried) for k in (3, 5, 1, 6)] == [3, 3, 2, 1]
    assert sum(len(seeds) for _, seeds in tried) == trial_count(8, 2)
    # All plans of a heat run on the same starts, and no heat on those of another.
    assert {seeds for _, seeds in tried} == {(0, 1), (2, 3), (4, 5)}


def test_a_plan_that_is_good_from_most_starts_is_before_one_that_is_very_good_from_one() -> None:
    stays, drives, fails = [300.0, 0.0, 0.0, 0.0], [20.0, 25.0, 0.0, 31.0], [0.0] * 4
    ranks = mean_ranks(np.array([stays, drives, fails]))
    assert ranks[1] > ranks[0] > ranks[2]
    np.testing.assert_allclose(ranks.mean(), 0.5)
    assert mean_ranks(np.array([[1.0, 2.0]])).tolist() == [0.5]
    returns = [stays, drives]
    order = rank_plans(2, 4, range(4), lambda index, seeds: [returns[index][s] for s in seeds])
    assert order == [1, 0]


def test_equals_are_left_in_the_order_of_the_model() -> None:
    assert rank_plans(5, 1, range(10), lambda index, seeds: [0.0] * len(seeds))[:2] == [0, 1]
    assert trial_count(5, 1) == 5 + 2


def test_the_candidate_follows_the_chosen_plan_exactly() -> None:
    checkpoint = untrained_checkpoint("pointmaze_umaze")
    tried = torch.stack((checkpoint.best_plans[2], checkpoint.best_plans.mean(0)))
    candidate = following(checkpoint, tried)
    assert torch.equal(candidate.best_plans[:2], tried)
    assert len(candidate.best_plans) == len(checkpoint.best_plans) + 1
    plan = candidate.make_planner().plan("exploit", 0)
    assert torch.equal(torch.from_numpy(plan.z0), tried[0])


def test_means_of_the_first_plans_are_tried_beside_single_ones() -> None:
    best = torch.arange(5.0)[:, None, None]
    plans = candidate_plans(best, 6).flatten()
    assert plans.tolist() == [0.5, 1.5, 0.0, 1.0, 2.0, 3.0]
    former = torch.full((1, 1), 9.0)
    assert candidate_plans(best, 3, former).flatten().tolist() == [9.0, 0.5, 1.5]
    assert candidate_plans(best[:1], 6).flatten().tolist() == [0.0]
