"""The controller with a defect beside the policy: its diagnostics fail once an episode runs."""

from __future__ import annotations

import sys

from gac_ros.nodes import controller

if __name__ == "__main__":
    from gac_ros.nodes.diagnostics import Diagnostics
    from gac_ros.nodes.states import State

    publish = Diagnostics.publish

    def failing(self: Diagnostics) -> None:
        publish(self)
        if self._driver.state is State.RUNNING:
            raise ArithmeticError("the matrix is singular")

    Diagnostics.publish = failing  # type: ignore[method-assign]
    sys.exit(controller.main())
