"""How far an episode got whose recording was cut off or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gac_ros import messages
from gac_ros.buffer.reader import DECISION, RecordedMessage
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata, LatencySummary
from gac_ros.errors import EpisodeError


@dataclass(frozen=True)
class Course:
    """The part of an episode that is known exactly.

    Attributes:
        messages: those of that part; the sequence numbers tell which ones are missing.
        metadata: what is true of that part.
        lost: messages that are missing in between.
    """

    messages: list[RecordedMessage]
    metadata: EpisodeMetadata
    lost: int


@dataclass(frozen=True)
class _Decided:
    """A step: its number, and where its command and its decision stand among the messages."""

    step: int
    command: int
    decision: int
    policy: bool
    latency: float | None


def follow(
    found: Sequence[RecordedMessage],
    known: EpisodeMetadata,
    embodiment: Embodiment,
    *,
    total: int | None = None,
) -> Course:
    """Find the last step whose outcome is known, and what is true of the episode up to it.

    A step's outcome, its rewards and the observation after it, is known when the next command
    comes; that of the last step, when every channel was heard once more and no reward can be owed.
    Where messages are missing in between, the steps they tell of stay unknown, and with them the
    return, unless the metadata of the episode's end survived.

    Args:
        found: what is left of the messages.
        known: the episode's metadata from its end, or from before its start (no steps yet).
        embodiment: the robot's contract.
        total: messages that the recording held at its end; None when it did not reach it.

    Raises:
        EpisodeError: no step is known, or a message is not what its type says.
    """
    if known.steps and total == len(found):
        return Course(list(found), known.model_copy(update={"recovered": True}), 0)
    return _Follower(list(found), known, embodiment, total).course()


class _Follower:
    def __init__(
        self,
        found: list[RecordedMessage],
        known: EpisodeMetadata,
        embodiment: Embodiment,
        total: int | None,
    ) -> None:
        self._found = found
        self._known = known
        self._embodiment = embodiment
        topics = known.topics
        self._observed = {topics.get(channel.topic) for channel in embodiment.observation}
        self._command_topic = topics.get(embodiment.action.topic)
        self._decision_topic = topics.get(DECISION)
        self._reward_topic = topics.get(embodiment.episode_return.topic or "")
        self._end_topic = topics.get(embodiment.episode_end_topic or "")
        # Before which messages others are missing, and how many.
        self._gaps: dict[int, int] = {}
        expected = 0
        for index, message in enumerate(found):
            if message.sequence > expected:
                self._gaps[index] = message.sequence - expected
            expected = message.sequence + 1
        self._ends = [i for i, message in enumerate(found) if message.topic == self._end_topic]
        self._decided = self._decisions()
        # Where nothing was dropped live, the last sequence number tells whether the end is there.
        self._reaches_end = total == expected and known.dropped_messages == 0

    def course(self) -> Course:
        steps, bound = self._extent()
        kept = self._found[:bound]
        lost = sum(count for index, count in self._gaps.items() if index < bound)
        if self._known.steps and steps >= self._known.steps:
            # The metadata of the end are there, and so is every step that they count.
            changes: dict[str, Any] = {}
        else:
            changes = self._facts(steps, bound, lost)
        # Messages that were dropped live left gaps as well.
        dropped = max(self._known.dropped_messages, lost)
        changes = {"dropped_messages": dropped, **changes, "recovered": True}
        return Course(kept, self._known.model_copy(update=changes), lost)

    # --- where it ends ----------------------------------------------------------------------------

    def _extent(self) -> tuple[int, int]:
        """Steps whose outcome is known, and how many messages tell of them."""
        if self._answered_end:
            return self._decided[-1].step, len(self._found)
        bound = self._first_bound()
        for decided in reversed(self._decided):
            if self._outcome_known(decided, bound):
                return decided.step + 1, bound
            bound = decided.command
        raise EpisodeError("no step of it is left whose outcome is known")

    @property
    def _answered_end(self) -> bool:
        """Whether the last decision came after the end, as it can in lock-step: not executed."""
        if not (self._known.lock_step and self._ends and self._decided) or self._gaps:
            return False
        rewards = sum(message.topic == self._reward_topic for message in self._found)
        return 0 < rewards == self._decided[-1].step

    def _first_bound(self) -> int:
        """Up to the first command that nothing tells of, or the first gap, after the last step."""
        last = self._decided[-1].decision if self._decided else -1
        end = self._ends[0] if self._ends else len(self._found)
        for index in range(last + 1, len(self._found)):
            # Commands after the end are the safe action.
            undecided = self._found[index].topic == self._command_topic and index < end
            if undecided or index in self._gaps:
                return index
        return len(self._found)

    def _outcome_known(self, decided: _Decided, bound: int) -> bool:
        if any(decided.decision < index < bound for index in self._gaps):
            return False
        at_command = bound < len(self._found) and self._is_command(bound) and not self._torn(bound)
        heard = {message.topic for message in self._found[decided.decision + 1 : bound]}
        if self._reward_topic is not None and self._known.lock_step:
            # There every action is answered by a reward.
            return self._reward_topic in heard and (at_command or self._observed <= heard)
        ended = self._reaches_end or any(index < bound for index in self._ends)
        owed = self._reward_topic is not None and not ended
        return at_command or (self._observed <= heard and not owed)

    def _is_command(self, index: int) -> bool:
        return index not in self._gaps and self._found[index].topic == self._command_topic

    def _torn(self, bound: int) -> bool:
        """Whether a channel was not heard between the last gap and this message."""
        start = max((index for index in self._gaps if index <= bound), default=0)
        heard = {message.topic for message in self._found[start:bound]}
        return not self._observed <= heard

    # --- what is decided --------------------------------------------------------------------------

    def _decisions(self) -> list[_Decided]:
        if self._decision_topic is None:
            return self._commands_as_steps()
        decided: list[_Decided] = []
        command: int | None = None
        for index, message in enumerate(self._found):
            if index in self._gaps:
                command = None
            if message.topic == self._command_topic:
                command = index
            elif message.topic == self._decision_topic and command is not None:
                decided.append(_read_decision(message, command, index))
                command = None
        return decided

    def _commands_as_steps(self) -> list[_Decided]:
        """Without decisions steps have no numbers: they are known up to the first gap only."""
        first_gap = min(self._gaps, default=len(self._found))
        end = self._ends[0] if self._ends else len(self._found)
        commands = [
            index
            for index in range(min(first_gap, end))
            if self._found[index].topic == self._command_topic
        ]
        return [_Decided(step, i, i, True, None) for step, i in enumerate(commands)]

    # --- what is true of it -----------------------------------------------------------------------

    def _facts(self, steps: int, bound: int, lost: int) -> dict[str, Any]:
        """Metadata of an episode whose end nobody wrote down."""
        kept = self._found[:bound]
        decided = [each for each in self._decided if each.step < steps]
        ended = [self._found[index] for index in self._ends if index < bound]
        word = _value(ended[0], messages.STRING) if ended else None
        episode_return = self._sum_of_rewards(kept, steps, lost)
        latencies = [each.latency for each in decided if each.policy and each.latency is not None]
        facts: dict[str, Any] = {
            "steps": steps,
            "episode_return": episode_return,
            "terminated": word == "terminated",
            "truncated": word != "terminated",
            "duration": (kept[-1].stamp - kept[decided[0].command].stamp) / messages.NANOSECONDS,
            "safe_actions": sum(not each.policy for each in decided),
            "latency": LatencySummary.of(np.array(latencies)),
        }
        if word is None:
            facts["outcome"] = "interrupted"
        if self._reward_topic is not None and episode_return is None:
            # Readers must not add up rewards of which some are missing.
            facts["dropped_messages"] = max(self._known.dropped_messages, lost, 1)
        return facts

    def _sum_of_rewards(self, kept: list[RecordedMessage], steps: int, lost: int) -> float | None:
        if self._reward_topic is None or lost:
            return None
        rewards = [_value(m, messages.FLOAT64) for m in kept if m.topic == self._reward_topic]
        if self._known.lock_step and len(rewards) != steps:
            return None
        # One by one, as the controller adds them up.
        total = float(sum(rewards))
        return total if np.isfinite(total) else None


def _read_decision(message: RecordedMessage, command: int, index: int) -> _Decided:
    data = _value(message, messages.FLOAT64_MULTI_ARRAY)
    if len(data) < 3 or not float(data[0]).is_integer() or data[0] < 0:
        raise EpisodeError(f"{message.topic} holds a decision that is none")
    return _Decided(int(data[0]), command, index, data[1] == 0.0, float(data[2]))


def _value(message: RecordedMessage, kind: str) -> Any:
    """The `data` of a standard message."""
    if message.type != kind:
        raise EpisodeError(f"{message.topic} holds {message.type} instead of {kind}")
    return messages.deserialize(message.data, kind).data
