"""The controller with a policy that does what the robot's position tells it to. Run as a process.

Below `CODES` it gives small actions that differ from one to the next, so that a command that is
sent again can be told from a new one.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np

from gac_ros.nodes.controller import main
from gac_ros.policy import Policy

CODES = 100.0
NOT_FINITE, TOO_LONG, TOO_LARGE, TOO_FAST, TOO_JERKY, RAISE, SLOW, STALL = range(101, 109)
LATE = 0.06  # s, more than a control period of the matrix
STALL_TIME = 3.5  # s
LOWEST, STEPS = 0.30, 4
ORDINARY = [LOWEST + 0.004 * number for number in range(STEPS)]
ACTIONS = {TOO_LARGE: 1.5, TOO_FAST: 0.9, TOO_JERKY: 0.695}


def misbehave() -> None:
    """Replace what the policy does with an observation."""
    calls = [0]

    def act(self: Policy, observation: Any) -> Any:
        calls[0] += 1
        ordinary = np.array([ORDINARY[calls[0] % STEPS]])
        code = round(float(observation[0]))
        if code == RAISE:
            raise ArithmeticError("the matrix is singular")
        if code in (SLOW, STALL):
            time.sleep(LATE if code == SLOW else STALL_TIME)
        return {
            NOT_FINITE: np.array([np.nan]),
            TOO_LONG: np.array([0.3, 0.3]),
            **{code: np.array([action]) for code, action in ACTIONS.items()},
        }.get(code, ordinary)

    Policy.act = act  # type: ignore[method-assign]


if __name__ == "__main__":
    Policy.warm_up = lambda self: None  # type: ignore[method-assign]
    misbehave()
    sys.exit(main())
