"""Give a checkpoint the return scale of new data without changing what it predicts.

A model keeps its parent's normaliser when it is fine-tuned. Online, returns outgrow the first
data's: a start from failures only has a standard deviation of zero, and the first success would
be a million of them away. The critic's last layers are linear, so the change of scale can be undone
exactly in their weights.

Source: Pop-Art, van Hasselt et al. 2016 (arXiv 1602.07714).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from gac_ros.checkpoint import Checkpoint
from gac_ros.model.gac import GacModel


def rescale_returns(checkpoint: Checkpoint, returns: Sequence[float]) -> Checkpoint:
    """The same checkpoint, standardising returns by the statistics of `returns`.

    Predicted returns, in their own units, stay what they were. The standard deviation never
    shrinks: a few episodes that happen to be alike must not make every other return incredible.
    Digest and path stay the parent's, so that the lineage of what is trained from it is right.
    """
    old = checkpoint.normalizer
    new = replace(
        old,
        return_mean=float(np.mean(returns)),
        return_std=max(float(np.std(returns)), old.return_std),
        return_max=float(np.max(returns)),
    )
    model = GacModel(checkpoint.model.config).to(next(checkpoint.model.parameters()).device)
    model.load_state_dict(checkpoint.model.state_dict())
    scale = old.return_std / new.return_std
    shift = (old.return_mean - new.return_mean) / new.return_std
    with torch.no_grad():
        for member in model.returns.members:
            assert isinstance(member, nn.Sequential)
            last = member[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(scale)
            last.bias.mul_(scale).add_(shift)
    model.eval().requires_grad_(False)
    return replace(checkpoint, model=model, normalizer=new)
