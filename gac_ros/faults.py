"""What can go wrong between a robot and its policy, by name, and what is done about each.

The `safety` section of an embodiment file is a `SafetyContract`. `gac_ros.safety` acts on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Fault(str, Enum):
    """A named reason not to pass a policy's action on."""

    OBSERVATION_MISSING = "observation_missing"  # a topic was never heard in this episode
    OBSERVATION_STALE = "observation_stale"  # the last message came too long ago
    OBSERVATION_STAMP = "observation_stamp"  # its stamp is too old, or in the future
    OBSERVATION_MALFORMED = "observation_malformed"  # a joint or an element is missing
    OBSERVATION_NOT_FINITE = "observation_not_finite"
    ACTION_MALFORMED = "action_malformed"  # of the wrong length
    ACTION_NOT_FINITE = "action_not_finite"
    VALUE_LIMIT = "value_limit"
    RATE_LIMIT = "rate_limit"
    ACCELERATION_LIMIT = "acceleration_limit"
    POLICY_FAILED = "policy_failed"  # an exception
    PLAN_STALE = "plan_stale"
    DEADLINE_MISSED = "deadline_missed"  # several times in a row, or the loop stands still
    CLOCK_JUMPED = "clock_jumped"
    DUPLICATE_PUBLISHER = "duplicate_publisher"  # somebody else commands the robot, too
    EMERGENCY_STOP = "emergency_stop"

    @property
    def external(self) -> bool:
        """Whether it cannot be told from the observations and actions of an episode."""
        return self in _EXTERNAL


_EXTERNAL = frozenset(
    {
        Fault.OBSERVATION_STAMP,
        Fault.PLAN_STALE,
        Fault.DEADLINE_MISSED,
        Fault.CLOCK_JUMPED,
        Fault.DUPLICATE_PUBLISHER,
        Fault.EMERGENCY_STOP,
    }
)
LIMITS = (Fault.VALUE_LIMIT, Fault.RATE_LIMIT, Fault.ACCELERATION_LIMIT)


class Reaction(str, Enum):
    """What is sent in place of the policy's action; of several the last one here wins."""

    LIMIT = "limit"  # the nearest action within the limits; no fault, only counted
    HOLD = "hold"  # the last command again
    RAMP = "ramp"  # towards the safe action, within the limits on rate and acceleration
    SAFE = "safe"  # the safe action, at once
    ZERO = "zero"
    DEACTIVATE = "deactivate"  # the safe action, then the node gives up

    @property
    def severity(self) -> int:
        """Place in the order above."""
        return _SEVERITY[self]


_SEVERITY = {reaction: place for place, reaction in enumerate(Reaction)}


@dataclass(frozen=True)
class FaultPolicy:
    """What a fault does.

    Attributes:
        reaction: what is sent while it lasts.
        latched: it lasts until it is reset, whatever becomes of its cause.
        clear_after: seconds that its cause must have been gone, unless latched.
    """

    reaction: Reaction
    latched: bool = False
    clear_after: float = 0.0


_DEFAULT = FaultPolicy(Reaction.SAFE)
_DEFAULTS = {
    **dict.fromkeys(LIMITS, FaultPolicy(Reaction.LIMIT)),
    Fault.POLICY_FAILED: FaultPolicy(Reaction.DEACTIVATE),
    Fault.DEADLINE_MISSED: FaultPolicy(Reaction.SAFE, clear_after=1.0),
    Fault.CLOCK_JUMPED: FaultPolicy(Reaction.SAFE, clear_after=0.1),
    Fault.EMERGENCY_STOP: FaultPolicy(Reaction.SAFE, latched=True),
}


class FaultSettings(BaseModel):
    """A fault's policy as the file gives it; what is left out keeps its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    reaction: Reaction | None = None
    latched: bool | None = None
    clear_after: float | None = Field(default=None, ge=0.0)

    @model_validator(mode="after")
    def _latched_needs_no_delay(self) -> FaultSettings:
        if self.latched and self.clear_after:
            raise ValueError("a latched fault is only cleared by a reset; remove 'clear_after'")
        return self


class SafetyContract(BaseModel):
    """When a fault is one, and what is done about it.

    Attributes:
        faults: by name; the others have their defaults.
        ramp_time: seconds of a ramp from one limit to the other, where no rate limit is slower.
        startup_grace: seconds for which a robot may not have said everything yet.
        max_plan_age: seconds; None for no limit.
        max_stamp_age: seconds by topic; the stamps of other topics are not looked at.
        max_clock_jump: seconds.
        deadline_misses: late decisions in a row.
        max_stall: seconds for which the control loop may stand still.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    faults: dict[Fault, FaultSettings] = Field(default_factory=dict)
    ramp_time: float = Field(default=1.0, gt=0.0)
    startup_grace: float = Field(default=1.0, ge=0.0)
    max_plan_age: float | None = Field(default=None, gt=0.0)
    max_stamp_age: dict[str, float] = Field(default_factory=dict)
    max_clock_jump: float = Field(default=0.5, gt=0.0)
    deadline_misses: int = Field(default=10, ge=1)
    max_stall: float = Field(default=0.5, gt=0.0)

    @model_validator(mode="after")
    def _policies_make_sense(self) -> SafetyContract:
        for fault in self.faults:
            policy = self.policy(fault)
            if policy.reaction is Reaction.LIMIT and fault not in LIMITS:
                raise ValueError(
                    f"{fault.value}: there is nothing to limit; choose one of "
                    f"{', '.join(reaction.value for reaction in list(Reaction)[1:])}"
                )
            if fault is Fault.EMERGENCY_STOP and not policy.latched:
                raise ValueError("emergency_stop is always latched; remove 'latched: false'")
        for topic, age in self.max_stamp_age.items():
            if age <= 0.0:
                raise ValueError(f"max_stamp_age of '{topic}' must be above 0")
        return self

    def policy(self, fault: Fault) -> FaultPolicy:
        """What a fault does."""
        default = _DEFAULTS.get(fault, _DEFAULT)
        given: dict[str, Any] = (
            self.faults[fault].model_dump(exclude_none=True) if fault in self.faults else {}
        )
        return FaultPolicy(
            reaction=given.get("reaction", default.reaction),
            latched=given.get("latched", default.latched),
            clear_after=given.get("clear_after", default.clear_after),
        )

    def reactions(self) -> frozenset[Reaction]:
        """Every reaction that some fault may cause."""
        return frozenset(self.policy(fault).reaction for fault in Fault)
