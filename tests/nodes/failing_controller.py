"""The controller with a policy that fails at its third action. Run as a process by a test."""

from __future__ import annotations

import sys
from typing import Any

from gac_ros.nodes.controller import main
from gac_ros.policy import Policy


def fail_at_the_third_action() -> None:
    act, follow, actions = Policy.act, Policy.follow, [0]

    def counted_follow(self: Policy, plan: Any) -> None:
        actions[0] = 0
        follow(self, plan)

    def failing_act(self: Policy, observation: Any) -> Any:
        if actions[0] == 2:
            raise ArithmeticError("the matrix is singular")
        actions[0] += 1
        return act(self, observation)

    Policy.follow = counted_follow  # type: ignore[method-assign]
    Policy.act = failing_act  # type: ignore[method-assign]


if __name__ == "__main__":
    # Warming up takes more actions than three.
    Policy.warm_up = lambda self: None  # type: ignore[method-assign]
    fail_at_the_third_action()
    sys.exit(main())
