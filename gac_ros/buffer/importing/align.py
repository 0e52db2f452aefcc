"""Turn one window of a recording into the script of an episode's bag, causally.

A step's observation is what a controller would have had at that moment: the newest message of each
topic at or before the step's command, none of them older than the embodiment allows. Messages keep
their bytes; what is added is a decision for each step, and the command again where it was held.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from gac_ros import messages
from gac_ros.action import decode_action, encode_action
from gac_ros.buffer.importing.cut import Window
from gac_ros.buffer.importing.steps import Step, at_rate, each_command
from gac_ros.buffer.reader import DECISION
from gac_ros.embodiment import Embodiment
from gac_ros.errors import DecodeError
from gac_ros.observation import ObservationFrame

# How long after the last command its outcome may come, in control periods.
TAIL = 1.5
_TOLERANCE = 1e-6  # single precision may put a command at its limit a little beyond it

# Why messages are left out.
EARLY = "before the first step"
LATE = "after the last step"
BROKEN = "not as the embodiment says"
SURPLUS = "faster than the control rate"
# Why a step cannot be learnt from.
STALE = "observation too old"
NOT_FINITE = "observation not finite"
NO_COMMAND = "no command for too long"
BEYOND = "command beyond its limits"
COMMAND_BROKEN = "command not as the embodiment says"


class ScriptLine(NamedTuple):
    """A message: embodiment topic or role, CDR bytes, log time in nanoseconds."""

    role: str
    data: bytes
    stamp: int


@dataclass(frozen=True)
class Alignment:
    """How the steps are laid over the commands.

    Attributes:
        every_command: each command is a step; otherwise steps come at the control rate.
        max_hold: longest time for which a command stands for those that did not come, seconds.
    """

    every_command: bool = False
    max_hold: float = 0.5


@dataclass(frozen=True)
class Aligned:
    """What became of a window.

    Attributes:
        problem: why there is no episode; empty when there is one.
        script: the bag's messages, in the order in which a controller would have handled them.
        steps: number of steps.
        held: steps at which the command was held.
        unusable: steps that cannot be learnt from, by why.
        rewards: sum of the rewards; None without any.
        used: messages of the window in the script, by role; those that were added do not count.
        dropped: messages of the window that are not, or that are no step, by role and why.
        tail: messages from after the window's end that tell the last step's outcome.
    """

    problem: str = ""
    script: tuple[ScriptLine, ...] = ()
    steps: int = 0
    held: int = 0
    unusable: Mapping[str, int] = field(default_factory=dict)
    rewards: float | None = None
    used: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[tuple[str, str], int] = field(default_factory=dict)
    tail: tuple[ScriptLine, ...] = ()


def tail_length(embodiment: Embodiment) -> int:
    """How long after a window's end messages may still tell its last outcome, nanoseconds."""
    return round(TAIL * embodiment.control_period * messages.NANOSECONDS)


def align(
    lines: Sequence[ScriptLine], window: Window, embodiment: Embodiment, alignment: Alignment
) -> Aligned:
    """Align the messages of a window.

    Args:
        lines: all of the embodiment's topics from the window's start to its tail, by time.
        window: where the episode is.
        embodiment: the robot's contract.
        alignment: how steps are laid.
    """
    return _Aligner(lines, window, embodiment, alignment).run()


class _Aligner:
    def __init__(
        self,
        lines: Sequence[ScriptLine],
        window: Window,
        embodiment: Embodiment,
        alignment: Alignment,
    ) -> None:
        self._window = window
        self._embodiment = embodiment
        self._alignment = alignment
        self._action = embodiment.action.topic
        self._kinds = {channel.topic: channel.type for channel in embodiment.observation}
        self._frame = ObservationFrame(embodiment)
        # The next episode's commands end the tail.
        later = [x.stamp for x in lines if x.role == self._action and x.stamp > window.end]
        self._lines = [x for x in lines if not later or x.stamp < later[0]]
        self._commands = [x for x in self._lines if x.role == self._action]
        self._steps = self._lay_steps()
        self._limit = self._steps[-1].time + tail_length(embodiment) if self._steps else window.end
        self._script: list[ScriptLine] = []
        self._places: list[tuple[int, Step, str]] = []  # of each step: in the script, and why not
        self._waiting: dict[str, ScriptLine] = {}  # the newest of each topic before the first step
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._rewards: list[float] = []
        self._broken = ""  # what the first message that could not be decoded lacks

    def run(self) -> Aligned:
        """Walk through the messages in order."""
        chosen = {step.command: step for step in self._steps if not step.held}
        number = 0
        # A message of the command's own log time was there before it.
        items: list[ScriptLine | Step] = [
            *self._lines,
            *(step for step in self._steps if step.held),
        ]
        for item in sorted(items, key=self._order):
            if isinstance(item, Step):
                self._decide(item)
            elif item.role != self._action:
                self._hear(item)
            else:
                step = chosen.get(number)
                number += 1
                if step is not None:
                    self._decide(step)
                else:
                    self._pass_over(item)
        self._trim()
        return self._result()

    def _lay_steps(self) -> list[Step]:
        times = [command.stamp for command in self._commands]
        if self._alignment.every_command:
            return each_command(times)
        return at_rate(times, round(self._embodiment.control_period * messages.NANOSECONDS))

    def _order(self, item: ScriptLine | Step) -> tuple[int, int]:
        if isinstance(item, Step):
            return item.time, 1
        return item.stamp, int(item.role == self._action)

    def _hear(self, line: ScriptLine) -> None:
        if line.role in self._kinds:
            try:
                message = messages.deserialize(line.data, self._kinds[line.role])
                self._frame.update(line.role, message, self._seconds(line.stamp))
            except DecodeError as error:
                self._broken = self._broken or str(error)
                self._drop(line, BROKEN)
                return
            if not self._places:
                if line.role in self._waiting:
                    self._drop(self._waiting[line.role], EARLY)
                self._waiting[line.role] = line
                return
            if line.stamp > self._limit:
                self._drop(line, LATE)
                return
        elif not self._places:
            self._drop(line, EARLY)
            return
        elif line.role == self._embodiment.episode_return.topic and not self._earn(line):
            return
        self._script.append(line)

    def _earn(self, line: ScriptLine) -> bool:
        try:
            self._rewards.append(float(messages.deserialize(line.data, messages.FLOAT64).data))
        except DecodeError as error:
            self._broken = self._broken or str(error)
            self._drop(line, BROKEN)
            return False
        return True

    def _pass_over(self, command: ScriptLine) -> None:
        """A command that is no step was sent to the robot all the same, and stays in the bag."""
        self._drop(command, SURPLUS if self._places else EARLY)
        if self._places:
            self._script.append(command)

    def _decide(self, step: Step) -> None:
        command = self._commands[step.command]
        if not self._places:
            if step.held or self._frame.missing():
                if not step.held:
                    self._drop(command, EARLY)
                return
            self._script += sorted(self._waiting.values(), key=lambda line: line.stamp)
            self._waiting.clear()
        why, data = self._judge(step, command)
        now = self._seconds(step.time)
        decision = (len(self._places), 1.0 if why else 0.0, 0.0, self._frame.age(now))
        self._places.append((len(self._script), step, why))
        self._script.append(ScriptLine(self._action, data, step.time))
        self._script.append(
            ScriptLine(
                DECISION, messages.serialize(messages.float64_multi_array(decision)), step.time
            )
        )

    def _judge(self, step: Step, command: ScriptLine) -> tuple[str, bytes]:
        """Why a step cannot be learnt from (empty: it can), and the bytes of its command."""
        embodiment = self._embodiment
        try:
            kind = embodiment.action.type.value
            action = decode_action(embodiment, messages.deserialize(command.data, kind))
        except DecodeError as error:
            self._broken = self._broken or str(error)
            # A bag's commands must decode; that this one did not is the decision's to tell.
            safe = encode_action(embodiment, embodiment.safe_action, step.time)
            return COMMAND_BROKEN, messages.serialize(safe)
        slack = _TOLERANCE * np.maximum(1.0, np.abs(action))
        low, high = embodiment.action_low - slack, embodiment.action_high + slack
        if not ((action >= low) & (action <= high)).all():  # NaN is within no limits
            return BEYOND, command.data
        if self._seconds(step.time) - self._seconds(command.stamp) > self._alignment.max_hold:
            return NO_COMMAND, command.data
        if self._frame.stale(self._seconds(step.time)):
            return STALE, command.data
        if not np.isfinite(self._frame.take()).all():
            return NOT_FINITE, command.data
        return "", command.data

    def _trim(self) -> None:
        """Take the steps off the end after which nothing was observed: their outcome is unknown."""
        end = len(self._script)
        while self._places:
            place, step, _ = self._places[-1]
            if any(line.role in self._kinds for line in self._script[place:end]):
                break
            if not step.held:
                self._drop(self._commands[step.command], LATE)
            self._places.pop()
            end = place
        if not self._places:
            self._script.clear()
            return
        # What was earned meanwhile is the last step's that is left.
        rest = [x for x in self._script[end:] if x.role not in (self._action, DECISION)]
        self._script[end:] = rest

    def _result(self) -> Aligned:
        rewards = math.fsum(self._rewards) if self._rewards else None
        unusable = Counter(why for _, _, why in self._places if why)
        problem = self._problem(unusable)
        if rewards is not None and not math.isfinite(rewards):
            problem = problem or "a reward is not finite"
        recorded = Counter(x.role for x in self._lines if x.stamp <= self._window.end)
        left_out = Counter[str]()
        for (role, why), count in self._dropped.items():
            if why != SURPLUS:
                left_out[role] += count
        tail = tuple(x for x in self._script if x.stamp > self._window.end and x.role != DECISION)
        return Aligned(
            problem=problem,
            script=tuple(self._script),
            steps=len(self._places),
            held=sum(step.held for _, step, _ in self._places),
            unusable=dict(unusable),
            rewards=rewards,
            used=dict(recorded - left_out),
            dropped=dict(self._dropped),
            tail=tail,
        )

    def _problem(self, unusable: Counter[str]) -> str:
        if not self._commands:
            return f"no command on {self._action}"
        if not self._places:
            silent = self._frame.missing()
            if self._broken:
                return self._broken
            if silent:
                return f"no message on {', '.join(silent)}"
            return "no command between the first complete observation and the last one"
        if sum(unusable.values()) == len(self._places):
            reasons = ", ".join(f"{why}: {count}" for why, count in unusable.most_common())
            detail = f"; {self._broken}" if self._broken else ""
            return f"no step can be learnt from ({reasons}{detail})"
        return ""

    def _drop(self, line: ScriptLine, why: str) -> None:
        if line.stamp <= self._window.end:
            self._dropped[line.role, why] += 1

    def _seconds(self, stamp: int) -> float:
        return (stamp - self._window.start) / messages.NANOSECONDS
