"""Turn the messages of an episode into its arrays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import decode_action
from gac_ros.buffer.columns import Columns, decode_columns
from gac_ros.embodiment import Embodiment, ObservationChannel
from gac_ros.episode import Episode, EpisodeMetadata
from gac_ros.errors import DecodeError, EpisodeError
from gac_ros.observation import ChannelDecoder
from gac_ros.patterns import Read

# Roles of topics beside those that the embodiment names.
PLAN = "plan"
DECISION = "decision"
FAULT = "fault"

_NEVER = -1  # in place of a message's number: there is none


class RecordedMessage(NamedTuple):
    """One message of a bag.

    Attributes:
        topic: name in the bag.
        type: message type, such as `nav_msgs/msg/Odometry`.
        stamp: log time in nanoseconds.
        data: CDR bytes.
        sequence: number of the message in the episode, those that were lost counted; always 0 in
            bags that do not tell.
    """

    topic: str
    type: str
    stamp: int
    data: bytes
    sequence: int = 0


def replay(
    bag: Path,
    metadata: EpisodeMetadata,
    embodiment: Embodiment,
    recorded: Sequence[RecordedMessage],
) -> Episode:
    """The arrays of an episode, by the rules of `read_episode`.

    Args:
        bag: named in errors.
        metadata: of the episode.
        embodiment: the contract to decode by.
        recorded: all messages in their order.

    Raises:
        EpisodeError: the messages are not those of an episode of this embodiment.
    """
    return _Replay(bag, metadata, embodiment, recorded).run()


class _Step:
    """A step by the numbers of its messages, each counted on its topic."""

    __slots__ = ("action", "newest", "policy", "reward")

    def __init__(self, newest: tuple[int, ...], action: int, *, policy: bool) -> None:
        self.newest = newest  # message of each channel
        self.action = action  # _NEVER: its command was lost
        self.policy = policy
        self.reward = 0.0


class _Replay:
    """Replays the messages of one bag.

    The numbers of each topic's messages are decoded at once. What is done message by message is
    only to find out which of them belong to which step.
    """

    def __init__(
        self,
        bag: Path,
        metadata: EpisodeMetadata,
        embodiment: Embodiment,
        recorded: Sequence[RecordedMessage],
    ) -> None:
        self._bag = bag
        self._metadata = metadata
        self._embodiment = embodiment
        self._recorded = recorded
        self._by_topic: dict[str, list[RecordedMessage]] = {}
        for message in recorded:
            self._by_topic.setdefault(message.topic, []).append(message)
        self._steps: list[_Step] = []
        self._pending: _Step | None = None  # a command that still waits for its decision
        self._torn = False  # messages were lost, and no command has come since
        self._newest = [_NEVER] * len(embodiment.observation)
        # What to do with the message of a topic that has this number on it.
        self._handlers: dict[str, Callable[[int], None]] = {}
        self._channels = [
            self._decode_channel(place, channel)
            for place, channel in enumerate(embodiment.observation)
        ]
        self._commands = self._decode_commands()
        self._has_decisions = DECISION in metadata.topics
        self._decisions = self._decode_decisions() if self._has_decisions else np.empty((0, 2))
        reward = embodiment.episode_return.topic
        self._has_rewards = reward is not None and reward in metadata.topics
        self._rewards = self._decode_rewards(reward) if reward and self._has_rewards else []

    # --- the numbers of each topic ----------------------------------------------------------------

    def _decode(self, role: str, kind: str, read: Read, width: int) -> tuple[str, Columns]:
        """Topic of a role, and the numbers of its messages."""
        topic = self._metadata.topics.get(role)
        if topic is None:
            self._fail(f"its metadata names no bag topic for '{role}'")
        found = self._by_topic.get(topic, [])
        for message in found:
            if message.type != kind:
                self._fail(f"{topic} holds {message.type}, the embodiment says {kind}")
        try:
            return topic, decode_columns([message.data for message in found], kind, read, width)
        except DecodeError as error:
            self._fail(f"{topic}: {error}")

    def _decode_channel(self, place: int, channel: ObservationChannel) -> NDArray[np.float64]:
        decoder = ChannelDecoder(channel)
        fields = len(channel.fields)
        topic, columns = self._decode(channel.topic, channel.type, decoder.read, fields)
        readable = columns.readable.tolist()
        newest = self._newest

        def observe(number: int) -> None:
            # Live, a message that lacks a joint leaves the older value in place and makes the next
            # action the safe one, which its decision tells. Here the older value stays, too.
            if readable[number]:
                newest[place] = number

        self._handlers[topic] = observe
        return decoder.scale(columns.values)

    def _decode_commands(self) -> NDArray[np.float64]:
        contract = self._embodiment.action
        topic, columns = self._decode(
            contract.topic,
            contract.type.value,
            partial(decode_action, self._embodiment),
            self._embodiment.action_size,
        )
        if columns.problem:
            self._fail(f"{topic}: {columns.problem}")
        self._handlers[topic] = self._command
        return columns.values

    def _decode_decisions(self) -> NDArray[np.float64]:
        topic, columns = self._decode(
            DECISION, messages.FLOAT64_MULTI_ARRAY, _step_and_source, width=2
        )
        if columns.problem:
            self._fail(columns.problem)
        self._handlers[topic] = self._decide
        return columns.values

    def _decode_rewards(self, role: str) -> list[float]:
        topic, columns = self._decode(role, messages.FLOAT64, _one_number, width=1)
        rewards: list[float] = columns.values[:, 0].tolist()
        for reward in rewards:
            if not math.isfinite(reward):
                self._fail(f"a reward is {reward}")
        self._handlers[topic] = self._reward
        return rewards

    # --- what belongs to which step ---------------------------------------------------------------

    def run(self) -> Episode:
        expected = 0
        numbers = dict.fromkeys(self._handlers, 0)
        for topic, _, _, _, sequence in self._recorded:
            if sequence > expected:
                self._tear()
            expected = max(expected, sequence + 1)
            handler = self._handlers.get(topic)
            if handler is not None:
                handler(numbers[topic])
                numbers[topic] += 1
        self._drop_pending()
        return self._episode()

    def _tear(self) -> None:
        """Messages are missing here: nothing before may be taken for what they told."""
        self._newest[:] = [_NEVER] * len(self._newest)
        self._pending = None
        self._torn = True

    def _command(self, number: int) -> None:
        self._drop_pending()
        self._torn = False
        self._pending = _Step(tuple(self._newest), number, policy=True)
        if not self._has_decisions:
            self._accept(policy=True)

    def _decide(self, number: int) -> None:
        step, source = self._decisions[number].tolist()
        total = self._metadata.steps
        if step == total == len(self._steps):
            # The answer to the final observation, given before the end was known: not executed.
            self._drop_pending()
            return
        if not (step.is_integer() and len(self._steps) <= step < total):
            self._fail(f"decision {step:g} came after {len(self._steps)} of {total} steps")
        self._pad(int(step))
        if self._pending is None:
            self._pad(int(step) + 1)
        else:
            self._accept(policy=source == 0.0)

    def _accept(self, *, policy: bool) -> None:
        step, self._pending = self._pending, None
        if step is not None:
            step.policy = policy
            self._steps.append(step)

    def _drop_pending(self) -> None:
        """A command without a decision is no step; what was earned since belongs to the last."""
        dropped, self._pending = self._pending, None
        if dropped is not None and self._steps:
            self._steps[-1].reward += dropped.reward

    def _pad(self, count: int) -> None:
        """Stand in for steps whose messages were dropped, so that the others keep their time."""
        if count > len(self._steps) and self._metadata.dropped_messages == 0:
            self._fail(f"step {len(self._steps)} is missing although no message was dropped")
        while len(self._steps) < count:
            self._steps.append(_Step(tuple(self._newest), _NEVER, policy=False))

    def _reward(self, number: int) -> None:
        if self._torn:
            return  # it belongs to a step that was lost
        if self._pending is not None:
            self._pending.reward += self._rewards[number]
        elif self._steps:
            self._steps[-1].reward += self._rewards[number]

    # --- the arrays -------------------------------------------------------------------------------

    def _episode(self) -> Episode:
        metadata = self._metadata
        if not self._steps:
            self._fail("it holds no step")
        self._pad(metadata.steps)
        if len(self._steps) != metadata.steps:
            self._fail(f"it holds {len(self._steps)} steps, its metadata says {metadata.steps}")
        rewards = np.array([step.reward for step in self._steps])
        # Where messages were lost a sum of rewards would be a wrong return.
        known = self._has_rewards and metadata.dropped_messages == 0
        earned = float(rewards.sum()) if known else None
        stated = metadata.episode_return
        observations = self._observations()
        actions = self._actions()
        finite = np.isfinite(observations[:-1]).all(axis=1) & np.isfinite(actions).all(axis=1)
        return Episode(
            observations=_filled(observations),
            actions=np.where(np.isfinite(actions), actions, self._embodiment.safe_action),
            rewards=rewards,
            valid=finite & np.array([step.policy for step in self._steps]),
            terminated=metadata.terminated,
            truncated=metadata.truncated,
            episode_return=earned if stated is None else stated,
            metadata=metadata,
        )

    def _observations(self) -> NDArray[np.float64]:
        """What was heard at each step and after the last, (T+1, O); NaN where nothing was."""
        newest = np.array([*(step.newest for step in self._steps), self._newest])
        parts = [
            _rows(values, newest[:, place], np.full(values.shape[1], np.nan))
            for place, values in enumerate(self._channels)
        ]
        return np.concatenate(parts, axis=1)

    def _actions(self) -> NDArray[np.float64]:
        """What was commanded at each step, (T, A); the safe action where the command was lost."""
        numbers = np.array([step.action for step in self._steps])
        return _rows(self._commands, numbers, self._embodiment.safe_action)

    def _fail(self, what: str) -> NoReturn:
        raise EpisodeError(f"{self._bag}: {what}; move the bag out of the buffer")


def _step_and_source(message: Any) -> NDArray[np.float64]:
    if len(message.data) < 2:
        raise DecodeError(f"a decision has {len(message.data)} numbers instead of 4")
    return np.asarray(message.data[:2], dtype=np.float64)


def _one_number(message: Any) -> NDArray[np.float64]:
    return np.array([message.data], dtype=np.float64)


def _rows(
    values: NDArray[np.float64], numbers: NDArray[np.intp], otherwise: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Rows of `values` (N, K) by their numbers (R,), and `otherwise` (K,) for _NEVER: (R, K)."""
    chosen = np.empty((len(numbers), values.shape[1]))
    there = numbers != _NEVER
    chosen[there] = values[numbers[there]]
    chosen[~there] = otherwise
    return chosen


def _filled(observations: NDArray[np.float64]) -> NDArray[np.float64]:
    """Observations, shape (T+1, O), with every number finite.

    What is not finite takes the last finite value of its column, before the first one the next,
    and 0 in a column without any.
    """
    finite = np.isfinite(observations)
    if finite.all():
        return observations
    rows = np.arange(len(observations))[:, None]
    last = np.maximum.accumulate(np.where(finite, rows, -1), axis=0)
    first = np.argmax(finite, axis=0)
    source = np.where(last < 0, first, last)
    values = np.take_along_axis(observations, source, axis=0)
    return np.where(np.isfinite(values), values, 0.0)
