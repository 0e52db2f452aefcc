"""What would spoil a measurement over ROS: answers that are missing, not the policy's, or lost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from gac_ros.bench.goals import SpeedGoal, at_most
from gac_ros.bench.over_ros.stand import Exchanges

INVALID = "states unanswered or answered twice, safe actions, messages not recorded"


class Answered(BaseModel):
    """How many answers do not count; there should be none. None: not looked at.

    Attributes:
        lost: states that were never answered.
        unasked: commands that answered no state.
        safe_actions: commands that the policy did not decide.
        unrecorded: messages that the recorder lost, and episodes without a bag.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lost: int | None = None
    unasked: int | None = None
    safe_actions: int | None = None
    unrecorded: int | None = None

    @property
    def invalid(self) -> int | None:
        """All together; None in older measurements, which did not look at everything."""
        if self.safe_actions is None or self.unrecorded is None:
            return None
        return self.safe_actions + self.unrecorded + (self.lost or 0) + (self.unasked or 0)

    @property
    def invalid_in_words(self) -> str:
        """What there is of each; empty when not everything was looked at."""
        if not self.invalid:
            return "" if self.invalid is None else "0"
        counts = {
            "unanswered": self.lost,
            "unasked": self.unasked,
            "safe": self.safe_actions,
            "not recorded": self.unrecorded,
        }
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)


def spoilt(summaries: Sequence[dict[str, Any]]) -> dict[str, int]:
    """What episodes' summaries tell of it, as fields of `Answered`; nothing, of an echo's none."""
    return {
        "safe_actions": sum(summary["safe_actions"] for summary in summaries),
        "unrecorded": sum(
            summary["dropped_messages"] + (summary["bag"] is None) for summary in summaries
        ),
    }


def spoilt_exchanges(found: Exchanges) -> dict[str, int]:
    """What exchanges tell of it, likewise."""
    return {"lost": found.lost, "unasked": found.unasked}


def validity_goals(found: Iterable[Answered], of: str = "") -> list[SpeedGoal]:
    """That there is nothing of it; no goal where nobody looked."""
    counts = [each.invalid for each in found if each.invalid is not None]
    return [at_most(f"{of}{INVALID}", sum(counts), 0)] if counts else []
