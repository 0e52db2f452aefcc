"""Limits on the value, the rate and the acceleration of commands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.faults import Fault

# What rounding may add to a command; limits are not exceeded by less, relative to their range.
_ROUNDING = 1e-9


class Limiter:
    """Keeps a stream of commands within the embodiment's limits, one a control period.

    A limited acceleration includes the way to stop: a command that nears a limit of value slows
    down in time for it. Value goes before rate, and rate before acceleration, whatever the
    command before was.

    Args:
        embodiment: whose limits hold.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._low, self._high = embodiment.action_low, embodiment.action_high
        self._range = self._high - self._low
        self._max_step = embodiment.action_max_step
        self._rates = bool(np.isfinite(self._max_step).any())
        # Largest change of a step from one period to the next.
        self._max_change = embodiment.action_max_change
        self._accelerates = np.isfinite(self._max_change)
        self._smooth = bool(self._accelerates.any())
        ramp = self._range * embodiment.control_period / embodiment.safety.ramp_time
        self._ramp_step = np.minimum(self._max_step, ramp)
        self._step = np.zeros(len(self._low))
        self.previous: NDArray[np.float64] = embodiment.safe_action

    def stop(self, action: NDArray[np.float64]) -> None:
        """Note a command that comes at once, without regard to rates; motion starts anew."""
        self.previous = action
        self._step = np.zeros(len(self._low))

    def move(self, action: NDArray[np.float64]) -> None:
        """Note a command of `limit` or `towards` that is being sent."""
        if self._smooth:
            self._step = action - self.previous
        self.previous = action

    def limit(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        """The allowed command, (A,), nearest to a finite action, (A,)."""
        if self._smooth:
            return self._limit_smoothly(action)
        if self._rates:
            step = self._max_step
            action = _clip(action, self.previous - step, self.previous + step)
        return _clip(action, self._low, self._high)

    def towards(self, target: NDArray[np.float64]) -> NDArray[np.float64]:
        """The next command, (A,), of a ramp to a target within the limits, (A,)."""
        way = target - self.previous
        largest = np.minimum(self._ramp_step, self._brake(np.abs(way)))
        step = np.clip(way, -largest, largest)
        wanted = np.where(step == way, target, self.previous + step)
        return self._limit_smoothly(wanted) if self._smooth else wanted

    def exceeded(self, action: NDArray[np.float64]) -> dict[Fault, str]:
        """Which limits a finite action, (A,), breaks, each with the joint's index and number."""
        slack = _ROUNDING * self._range
        found: dict[Fault, str] = {}
        inside = np.clip(action, self._low, self._high)
        step = inside - self.previous
        checks = (
            (Fault.VALUE_LIMIT, np.abs(action - inside), np.zeros(len(slack))),
            (Fault.RATE_LIMIT, np.abs(step), self._max_step),
            (Fault.ACCELERATION_LIMIT, np.abs(step - self._step), self._max_change),
        )
        for fault, size, allowed in checks:
            beyond = size > allowed + slack
            if beyond.any():
                joint = int(np.argmax(beyond))
                found[fault] = f"number {joint} of the action is {action[joint]:g}"
        return found

    def _limit_smoothly(self, action: NDArray[np.float64]) -> NDArray[np.float64]:
        wanted = action - self.previous
        step = np.clip(wanted, self._step - self._max_change, self._step + self._max_change)
        lowest = np.minimum(self._max_step, self._brake(self.previous - self._low))
        highest = np.minimum(self._max_step, self._brake(self._high - self.previous))
        step = np.clip(step, -lowest, highest)
        return np.clip(
            np.where(step == wanted, action, self.previous + step), self._low, self._high
        )

    def _brake(self, way: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest step, (A,), after which the rest of a way, (A,), suffices to stop.

        Steps that shrink by the change `c` each time, x, x - c, ..., add up to the way when
        x = way / n + c (n - 1) / 2 with n steps.
        """
        largest = np.full(len(way), np.inf)
        change = self._max_change[self._accelerates]
        rest = np.maximum(way[self._accelerates], 0.0)
        steps = np.maximum(np.ceil((np.sqrt(1.0 + 8.0 * rest / change) - 1.0) / 2.0), 1.0)
        largest[self._accelerates] = rest / steps + change * (steps - 1.0) / 2.0
        return largest


def _clip(
    values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """As `np.clip`, which takes most of its time to find out what it was given."""
    clipped: NDArray[np.float64] = np.minimum(np.maximum(values, low), high)
    return clipped
