"""The model's joint likelihood as training evaluates it: in which precision, compiled or not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gac_ros.errors import ConfigurationError
from gac_ros.model.gac import GacModel, LogJoint, TrajectoryWindows

Likelihood = Callable[[Tensor, TrajectoryWindows, Tensor], LogJoint]


def make_likelihood(model: GacModel, *, bfloat16: bool, compiled: bool) -> Likelihood:
    """`GacModel.log_joint` of a model on its device.

    Args:
        model: its weights may change afterwards, its device may not.
        bfloat16: matrix products in bfloat16; the weights stay what they are.
        compiled: by `torch.compile`, when it is first called.

    Raises:
        ConfigurationError: by the first call, where it cannot be compiled.
    """
    log_joint = _compiled(model.log_joint) if compiled else model.log_joint
    device = next(model.parameters()).device.type

    def likelihood(z0: Tensor, windows: TrajectoryWindows, y: Tensor) -> LogJoint:
        with torch.autocast(device, dtype=torch.bfloat16, enabled=bfloat16):
            return log_joint(z0, windows, y)

    return likelihood


def _compiled(log_joint: Likelihood) -> Likelihood:
    # Loads the compiler.
    from torch._dynamo.exc import BackendCompilerFailed

    program = torch.compile(log_joint)

    def run(z0: Tensor, windows: TrajectoryWindows, y: Tensor) -> LogJoint:
        try:
            joint: LogJoint = program(z0, windows, y)
        except BackendCompilerFailed as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(
                f"the training cannot be compiled ({reason}); install a C++ compiler, as g++, or "
                "set compile: false"
            ) from error
        return joint

    return run
