"""Write an episode that is only arrays as the bag a controller would have recorded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.buffer.importing.encode import ObservationEncoder
from gac_ros.buffer.layout import recorded_roles, topic_name
from gac_ros.buffer.reader import DECISION, PLAN
from gac_ros.buffer.writer import EpisodeWriter, discard_unfinished
from gac_ros.embodiment import Embodiment
from gac_ros.episode import EpisodeMetadata


@dataclass(frozen=True, eq=False)
class StepEpisode:
    """One episode.

    Attributes:
        observations: float64 (T+1, O), as the policy sees them.
        actions: float64 (T, A).
        rewards: float64 (T,); None where none were recorded, which is not the same as zeros.
        terminated: ended by the task.
        truncated: ended by anything else.
        valid: bool (T,), steps that can be learnt from; None: all.
        plans: as the controller published them, each with the number of steps before it.
    """

    observations: NDArray[np.float64]
    actions: NDArray[np.float64]
    rewards: NDArray[np.float64] | None
    terminated: bool
    truncated: bool
    valid: NDArray[np.bool_] | None = None
    plans: tuple[tuple[int, Mapping[str, Any]], ...] = ()


class StepBagWriter:
    """Writes bags of one robot into one folder.

    Log times are those of the simulation: the first observation is at 0.
    """

    def __init__(self, embodiment: Embodiment, out: Path) -> None:
        self._embodiment = embodiment
        self._out = Path(out)
        self._encoder = ObservationEncoder(embodiment)
        self._kinds = recorded_roles(embodiment, with_plan=True)

    def topics(self, episode: StepEpisode) -> dict[str, str]:
        """Bag topic of every role that the episode's bag will have."""
        absent = {
            None if episode.plans else PLAN,
            self._embodiment.episode_return.topic if episode.rewards is None else None,
        }
        return {role: topic_name(role) for role in self._kinds if role not in absent}

    def write(self, episode: StepEpisode, metadata: EpisodeMetadata) -> Path:
        """Write a bag; half of it never becomes visible.

        Raises:
            OutputError: it cannot be written, or there is one of that id.
        """
        episode_id, topics = metadata.episode_id, self.topics(episode)
        # Without a draft on purpose: half an imported episode must not be recovered as a whole one.
        discard_unfinished(self._out, episode_id)
        types = {topic: self._kinds[role] for role, topic in topics.items()}
        writer = EpisodeWriter(self._out, episode_id, types)
        try:
            for role, message, stamp in self._script(episode):
                writer.write(topics[role], messages.serialize(message), stamp)
            return writer.commit(metadata)
        except BaseException:
            # An import can be repeated, so half an episode is worth nothing.
            writer.discard()
            raise

    def _script(self, episode: StepEpisode) -> Iterator[tuple[str, Any, int]]:
        """Role, message and stamp (ns) of everything, in a controller's order of handling."""
        embodiment = self._embodiment
        reward_topic = embodiment.episode_return.topic
        plans = list(reversed(episode.plans))
        for step, action in enumerate(episode.actions):
            stamp = self._stamp(step)
            while plans and plans[-1][0] <= step:
                yield PLAN, messages.string(json.dumps(plans.pop()[1])), stamp
            observed = self._encoder.messages(episode.observations[step], stamp)
            yield from ((topic, message, stamp) for topic, message in observed.items())
            yield embodiment.action.topic, encode_action(embodiment, action, stamp), stamp
            safe = episode.valid is not None and not episode.valid[step]
            yield DECISION, messages.float64_multi_array((step, int(safe), 0.0, 0.0)), stamp
            if reward_topic is not None and episode.rewards is not None:
                yield reward_topic, messages.float64(episode.rewards[step]), self._stamp(step + 1)
        yield from self._end(episode, self._stamp(len(episode.actions)))

    def _end(self, episode: StepEpisode, stamp: int) -> Iterator[tuple[str, Any, int]]:
        topic = self._embodiment.episode_end_topic
        if topic is not None and (episode.terminated or episode.truncated):
            word = "terminated" if episode.terminated else "truncated"
            yield topic, messages.string(word), stamp
        observed = self._encoder.messages(episode.observations[-1], stamp)
        yield from ((topic, message, stamp) for topic, message in observed.items())

    def _stamp(self, step: int) -> int:
        return round(step * self._embodiment.control_period * messages.NANOSECONDS)
