"""Adam takes the steps of PyTorch's, without what that one loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gac_ros.checkpoint import save_checkpoint
from gac_ros.model.adam import Adam
from tests.ros_support import REPOSITORY
from tests.toy import untrained_checkpoint


@pytest.mark.parametrize("fall", [0.0, 0.01])
def test_every_step_is_pytorch_s_own(fall: float) -> None:
    start = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    ours, theirs = start.clone().requires_grad_(True), start.clone().requires_grad_(True)
    adam, reference = Adam(ours), torch.optim.Adam([theirs])

    def slope(state: torch.Tensor) -> torch.Tensor:
        (gradient,) = torch.autograd.grad((state.square() - state.cos()).sum(), state)
        return gradient

    for step in range(60):
        rate = 0.1 - step * fall / 6.0
        adam.step(slope(ours), rate)
        reference.param_groups[0]["lr"] = rate
        theirs.grad = slope(theirs)
        reference.step()
        assert torch.equal(ours, theirs), step
    assert (ours - start).abs().max() > 1.0


def test_a_plan_is_made_without_pytorch_s_compiler(tmp_path: Path) -> None:
    save_checkpoint(untrained_checkpoint("pointmaze_umaze"), tmp_path / "model")
    code = (
        "import sys\n"
        "from gac_ros.checkpoint import load_checkpoint\n"
        "planner = load_checkpoint(sys.argv[1], 'cpu').make_planner()\n"
        "for mode in ('exploit', 'explore', 'posterior'):\n"
        "    planner.plan(mode, seed=0)\n"
        "sys.exit('torch._dynamo' in sys.modules)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    subprocess.run(command, check=True, env=environment)
