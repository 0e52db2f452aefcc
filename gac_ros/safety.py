"""The stage between policy and command topic: the one place that decides what may be sent.

It knows no model, no ROS and no clock; times are given to it in seconds of the caller's clock. It
never waits, and what it returns is finite and within the embodiment's limits, whatever it is given.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from threading import RLock

import numpy as np
from numpy.typing import NDArray

from gac_ros.embodiment import Embodiment
from gac_ros.faults import LIMITS, Fault, FaultPolicy, Reaction
from gac_ros.limiter import Limiter


def all_finite(numbers: NDArray[np.float64]) -> bool:
    """Whether none of some numbers, (N,), is NaN or infinite.

    For as few as a robot has, this takes a tenth of the time that NumPy's own way does.
    """
    return all(map(math.isfinite, numbers.tolist()))


@dataclass(frozen=True)
class FaultEvent:
    """A fault began or ended.

    Attributes:
        fault: which.
        raised: whether it began.
        reaction: what is sent while it lasts.
        latched: whether it lasts until it is reset.
        detail: what was seen, in words.
        active: the faults that last after this event.
    """

    fault: Fault
    raised: bool
    reaction: Reaction
    latched: bool
    detail: str
    active: tuple[Fault, ...]

    def to_json(self) -> str:
        """The content of the fault topic."""
        return json.dumps(
            {
                "event": "raised" if self.raised else "cleared",
                "fault": self.fault.value,
                "reaction": self.reaction.value,
                "latched": self.latched,
                "detail": self.detail,
                "active": [fault.value for fault in self.active],
            }
        )


@dataclass(frozen=True)
class Block:
    """Why the policy must not act now, and what is sent instead."""

    fault: Fault
    reaction: Reaction
    detail: str


@dataclass
class _Active:
    """A fault that lasts.

    Attributes:
        lasting: whether its cause is known to be there.
        pending: whether it still has to stop its one decision at least.
        seen: when its cause was seen last, in seconds.
    """

    policy: FaultPolicy
    detail: str
    lasting: bool
    pending: bool
    seen: float

    def blocks(self, now: float) -> bool:
        return self.pending or self.holds(now)

    def holds(self, now: float) -> bool:
        return self.policy.latched or self.lasting or now < self.seen + self.policy.clear_after


class SafetyStage:
    """Holds the faults of one robot, and what was sent to it last.

    A fault blocks the policy from the moment it is raised: for one decision at least, as long as
    its cause lasts, and after that for its `clear_after`, or until a reset if it is latched. Then
    the policy is tried again, and the fault is cleared when that goes well.

    All methods return at once and may be called from any thread.

    Attributes:
        raised: how often each fault was raised.
        limited: actions of the policy that had to be limited.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._limiter = Limiter(embodiment)
        contract = embodiment.safety
        self._policies = {fault: contract.policy(fault) for fault in Fault}
        self._strict = any(self._policies[fault].reaction is not Reaction.LIMIT for fault in LIMITS)
        self._zero = np.zeros(embodiment.action_size)
        self._active: dict[Fault, _Active] = {}
        self._lock = RLock()
        self.raised: Counter[Fault] = Counter()
        self.limited = 0

    # --- faults -----------------------------------------------------------------------------------

    @property
    def active(self) -> tuple[Fault, ...]:
        """The faults that last."""
        return tuple(self._active)

    @property
    def latched(self) -> tuple[Fault, ...]:
        """Those of them that only a reset ends."""
        with self._lock:
            return tuple(fault for fault, it in self._active.items() if it.policy.latched)

    def begin(self) -> tuple[FaultEvent, ...]:
        """Start an episode; the robot has the safe action. Only latched and outer faults stay."""
        with self._lock:
            self._limiter.stop(self._embodiment.safe_action)
            over = [
                fault
                for fault, it in self._active.items()
                if not it.policy.latched and not (fault.external and it.lasting)
            ]
            return self._clear(over)

    def raise_fault(
        self, fault: Fault, detail: str, now: float, *, lasting: bool = False
    ) -> tuple[FaultEvent, ...]:
        """Raise a fault, or note that its cause is there still.

        Args:
            fault: which.
            detail: what was seen, in words.
            now: seconds.
            lasting: whether the cause stays until `end_cause` says otherwise.
        """
        with self._lock:
            known = self._active.get(fault)
            if known is not None:
                known.seen, known.lasting, known.detail = now, lasting, detail
                known.pending = not lasting
                return ()
            policy = self._policies[fault]
            self.raised[fault] += 1
            self._active[fault] = _Active(policy, detail, lasting, not lasting, now)
            return (self._event(fault, self._active[fault], raised=True),)

    def end_cause(self, fault: Fault, now: float) -> None:
        """Note that a lasting cause has gone."""
        with self._lock:
            known = self._active.get(fault)
            if known is not None and known.lasting:
                known.lasting, known.seen = False, now

    def observe(
        self, causes: dict[Fault, str], judged: Iterable[Fault], now: float
    ) -> tuple[FaultEvent, ...]:
        """Raise the faults of the inputs that have a cause now, and note which causes have gone.

        Args:
            causes: what was seen, in words, by fault.
            judged: the faults that were looked for.
            now: seconds.
        """
        events: tuple[FaultEvent, ...] = ()
        if not causes and not self._active:
            return events
        with self._lock:
            for fault in judged:
                if fault in causes:
                    events += self.raise_fault(fault, causes[fault], now, lasting=True)
                else:
                    self.end_cause(fault, now)
        return events

    def expire(self, now: float) -> tuple[FaultEvent, ...]:
        """End the faults that nothing keeps: after a good decision, or where none is made."""
        if not self._active:
            return ()
        with self._lock:
            return self._clear([fault for fault, it in self._active.items() if not it.holds(now)])

    def clear(self, fault: Fault) -> tuple[FaultEvent, ...]:
        """End one fault, whatever its policy."""
        with self._lock:
            return self._clear([fault] if fault in self._active else [])

    def reset(self) -> tuple[FaultEvent, ...]:
        """End every fault; one whose cause is still there is raised again before the policy acts.

        That a pressed emergency stop is released first is the caller's business.
        """
        with self._lock:
            return self._clear(list(self._active))

    def block(self, now: float) -> Block | None:
        """What keeps the policy from acting now; of several the one with the severest reaction."""
        if not self._active:
            return None
        with self._lock:
            found = [(fault, it) for fault, it in self._active.items() if it.blocks(now)]
        if not found:
            return None
        fault, it = max(found, key=lambda item: item[1].policy.reaction.severity)
        return Block(fault, it.policy.reaction, it.detail)

    def _clear(self, faults: list[Fault]) -> tuple[FaultEvent, ...]:
        cleared = [(fault, self._active.pop(fault)) for fault in faults]
        return tuple(self._event(fault, it, raised=False) for fault, it in cleared)

    def _event(self, fault: Fault, it: _Active, *, raised: bool) -> FaultEvent:
        policy = it.policy
        return FaultEvent(
            fault, raised, policy.reaction, policy.latched, it.detail, tuple(self._active)
        )

    # --- commands ---------------------------------------------------------------------------------

    def check(
        self, action: NDArray[np.float64], now: float
    ) -> tuple[NDArray[np.float64] | None, tuple[FaultEvent, ...]]:
        """Judge an action of the policy.

        Returns:
            The command, (A,), or None when the action cannot be sent, and the faults this raised.
        """
        size = self._embodiment.action_size
        if action.shape != (size,):
            detail = f"the policy's action has the shape {action.shape} instead of ({size},)"
            return None, self.raise_fault(Fault.ACTION_MALFORMED, detail, now)
        if not all_finite(action):
            detail = "the policy's action is not finite"
            return None, self.raise_fault(Fault.ACTION_NOT_FINITE, detail, now)
        limited = self._limiter.limit(action)
        if limited.tolist() == action.tolist():
            return limited, ()
        self.limited += 1
        events: tuple[FaultEvent, ...] = ()
        if self._strict:
            for fault, detail in self._limiter.exceeded(action).items():
                if self._policies[fault].reaction is not Reaction.LIMIT:
                    events += self.raise_fault(fault, detail, now)
                    return None, events
        return limited, events

    def approve(self, command: NDArray[np.float64]) -> NDArray[np.float64]:
        """Note that a command of `check` is being sent."""
        with self._lock:
            self._limiter.move(command)
        return command

    def replace(self, reaction: Reaction, *, decides: bool = True) -> NDArray[np.float64]:
        """The command, (A,), that is sent in place of an action, noted as being sent.

        Args:
            reaction: of the fault that blocks the policy.
            decides: whether it stands for a decision, of which each fault blocks one at least.
        """
        safe = self._embodiment.safe_action
        with self._lock:
            for it in self._active.values():
                it.pending = it.pending and not decides
            if reaction is Reaction.RAMP:
                command = self._limiter.towards(safe)
                self._limiter.move(command)
                return command
            at_once = {Reaction.HOLD: self._limiter.previous, Reaction.ZERO: self._zero}
            command = at_once.get(reaction, safe)
            self._limiter.stop(command)
            return command

    def stop(self) -> NDArray[np.float64]:
        """The safe action, (A,), noted as being sent outside of any decision."""
        with self._lock:
            self._limiter.stop(self._embodiment.safe_action)
        return self._embodiment.safe_action
