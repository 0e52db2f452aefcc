"""Plans that the data support are those under which the best episodes are probable."""

from __future__ import annotations

import torch

from gac_ros.training.support import candidate_plans


def test_candidates_are_means_of_the_best_chains() -> None:
    chains = torch.randn(32, 2, 3)
    plans = candidate_plans(chains, torch.Generator().manual_seed(0))
    assert torch.allclose(plans[0], chains[:8].mean(0))
    assert torch.allclose(plans[4], chains.mean(0))
    assert plans.shape == (5 + 24, 2, 3)


def test_few_chains_are_candidates_themselves() -> None:
    chains = torch.randn(2, 2, 3)
    plans = candidate_plans(chains, torch.Generator().manual_seed(0))
    assert torch.equal(plans[:2], chains)
    assert torch.allclose(plans[2], chains.mean(0))


def test_the_same_seed_gives_the_same_candidates() -> None:
    chains = torch.randn(40, 2, 3)
    first, second = (candidate_plans(chains, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
