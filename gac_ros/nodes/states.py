"""Small types between the driver and its node."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """Where an episode stands; `public` is what the episode topic says."""

    IDLE = "idle"
    PLANNING = "planning"
    READY = "ready"
    RUNNING = "running"
    ENDING = "ending"

    @property
    def public(self) -> str:
        """An episode runs, for others, until its summary is there."""
        return (State.RUNNING if self is State.ENDING else self).value


@dataclass(frozen=True)
class Reply:
    """Answer to a request."""

    accepted: bool
    message: str


@dataclass(frozen=True)
class Hooks:
    """What the driver needs from its node.

    Attributes:
        label: the return that an operator gave, None without one.
        episode_over: called after each episode.
        give_up: called when a fault asks for it; its episode is ending then.
    """

    label: Callable[[], float | None]
    episode_over: Callable[[], None]
    give_up: Callable[[], None]
