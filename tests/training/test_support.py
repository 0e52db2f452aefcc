"""Plans that the data support are those under which the best episodes are probable."""

from __future__ import annotations

import torch

from gac_ros.training.support import candidate_plans


def test_candidates_hold_single_chains_and_means_of_the_best() -> None:
    chains = torch.randn(32, 2, 3)
    plans = candidate_plans(chains, torch.Generator().manual_seed(0))
    assert torch.equal(plans[:16], chains[:16])
    assert torch.allclose(plans[16], chains[:2].mean(0))
    assert plans.shape == (16 + 9 + 42, 2, 3)


def test_few_chains_give_candidates_too() -> None:
    chains = torch.randn(1, 2, 3)
    assert torch.equal(candidate_plans(chains, torch.Generator().manual_seed(0)), chains)


def test_the_same_seed_gives_the_same_candidates() -> None:
    chains = torch.randn(40, 2, 3)
    first, second = (candidate_plans(chains, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)
