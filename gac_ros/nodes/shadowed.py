"""Lets a candidate see what the acting one sees, after the command has gone out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gac_ros.control import Actor
from gac_ros.deployment.shadow import Shadow


class ShadowedActor:
    """Asks `acting` for actions; `compare` asks the shadow, when there is time."""

    def __init__(self, acting: Actor, shadow: Shadow) -> None:
        self._acting = acting
        self._pending: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
        self.shadow = shadow

    def begin(self, seed: int) -> None:
        """Start an episode."""
        self._acting.begin(seed)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """The acting one's action (A,)."""
        action = self._acting.act(observation)
        self._pending = (np.array(observation), np.array(action))
        return action

    def compare(self) -> None:
        """Compute the shadow's action for the last observation, once."""
        pending, self._pending = self._pending, None
        if pending is not None:
            self.shadow.compare(*pending)
