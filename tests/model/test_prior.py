"""The transforms of the prior."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gac_ros.model.config import ModelConfig
from gac_ros.model.prior import FlowTransform


def config(*, tokens: int, size: int, blocks: int) -> ModelConfig:
    return ModelConfig(
        observation_size=3,
        action_size=2,
        episode_length=10,
        plan_tokens=tokens,
        plan_token_size=size,
        prior="flow",
        prior_hidden=8,
        prior_blocks=blocks,
    )


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 4), size=st.integers(2, 5), blocks=st.integers(1, 3), seed=st.integers(0)
)
def test_the_flow_can_be_inverted(tokens: int, size: int, blocks: int, seed: int) -> None:
    torch.manual_seed(seed % 2**31)
    flow = FlowTransform(config(tokens=tokens, size=size, blocks=blocks)).double()
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    z0 = torch.randn((5, tokens, size), dtype=torch.float64)
    z = flow(z0)
    assert not torch.allclose(z, z0)
    torch.testing.assert_close(flow.inverse(z), z0)


def test_the_flow_moves_every_number_of_a_plan() -> None:
    torch.manual_seed(0)
    flow = FlowTransform(config(tokens=2, size=3, blocks=1))
    for parameter in flow.parameters():
        torch.nn.init.normal_(parameter)
    z0 = torch.randn((1, 2, 3))
    assert (flow(z0) != z0).all()
