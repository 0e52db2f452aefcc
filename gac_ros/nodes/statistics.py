"""Running numbers of the control loop, for diagnostics only: nothing is decided by them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from gac_ros.control import Decision, Source

_RECENT = 1000


@dataclass
class LoopStatistics:
    """Counts what the control loop does. Mutable: written by the driver, read once a second.

    Attributes:
        decisions: actions decided since the node was configured.
        overruns: decisions that came more than a control period late.
        safe_actions: safe actions sent while an episode was on, steps or not.
        safe_reason: why the last of them was sent.
        undecodable: messages that could not be decoded.
        last_error: what went wrong last with an episode; empty after one that went well.
        latencies: of the latest decisions, in seconds.
        heard: when each observed topic was last heard, monotonic seconds.
        planned: when the last plan was made, or looked at and kept, monotonic seconds.
        changes_of_plan: plans taken in the middle of an episode since the node was configured.
    """

    decisions: int = 0
    overruns: int = 0
    safe_actions: int = 0
    safe_reason: str = ""
    undecodable: int = 0
    last_error: str = ""
    latencies: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    heard: dict[str, float] = field(default_factory=dict)
    planned: float | None = None
    changes_of_plan: int = 0

    def add_decision(self, decision: Decision, latency: float, *, overrun: bool) -> None:
        """Count a decision."""
        self.decisions += 1
        self.latencies.append(latency)
        self.overruns += overrun
        if decision.source is Source.SAFE:
            self.add_safe_action(decision.reason)

    def add_safe_action(self, reason: str) -> None:
        """Count a safe action."""
        self.safe_actions += 1
        self.safe_reason = reason
