"""The replay buffer: folders of episode bags as arrays, and training windows cut from them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.reader import read_episode
from gac_ros.buffer.writer import METADATA_FILE
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import Episode
from gac_ros.errors import EpisodeError
from gac_ros.normalization import Normalizer


@dataclass(frozen=True, eq=False)
class Windows:
    """W windows from each of B episodes; L = burn_in + length positions each.

    Attributes:
        observations: (B, W, L, O), the dtype of the arrays they come from.
        actions: (B, W, L, A).
        steps: int64 (B, W, L), index in the episode; negative before its start.
        present: bool (B, W, L), whether the step exists: 0 <= step < T. Elsewhere observations
            and actions are 0.
        scored: bool (B, W, L), present, valid, and among the last `length` positions. The others
            are context.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    steps: NDArray[np.int64]
    present: NDArray[np.bool_]
    scored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EpisodeArrays:
    """N episodes laid end to end.

    Attributes:
        observations: (sum(T + 1), O).
        actions: (sum(T), A).
        valid: bool (sum(T),).
        lengths: int64 (N,), the number of actions T of each episode.
    """

    observations: NDArray[Any]
    actions: NDArray[Any]
    valid: NDArray[np.bool_]
    lengths: NDArray[np.int64]

    @cached_property
    def action_offsets(self) -> NDArray[np.int64]:
        """Where each episode starts in `actions` and `valid`, int64 (N,)."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def observation_offsets(self) -> NDArray[np.int64]:
        """Where each episode starts in `observations`, int64 (N,)."""
        return self.action_offsets + np.arange(len(self.lengths))

    def windows(
        self,
        episode_indices: NDArray[np.int64],
        starts: NDArray[np.int64],
        *,
        burn_in: int,
        length: int,
    ) -> Windows:
        """Cut windows; no Python loop.

        Args:
            episode_indices: int64 (B,), each in [0, N).
            starts: int64 (B, W), the step of the first scored position; windows may reach over
                both ends of the episode.
            burn_in: positions of context before the scored ones.
            length: scored positions.
        """
        positions = np.arange(-burn_in, length)
        steps = np.asarray(starts, dtype=np.int64)[:, :, None] + positions
        last = self.lengths[episode_indices][:, None, None] - 1
        present = (steps >= 0) & (steps <= last)
        inside = np.clip(steps, 0, last)
        in_actions = inside + self.action_offsets[episode_indices][:, None, None]
        in_observations = inside + self.observation_offsets[episode_indices][:, None, None]
        observations = np.take(self.observations, in_observations, axis=0)
        actions = np.take(self.actions, in_actions, axis=0)
        absent = ~present
        observations[absent] = 0
        actions[absent] = 0
        scored = present & np.take(self.valid, in_actions) & (positions >= 0)
        return Windows(observations, actions, steps, present, scored)


@dataclass(frozen=True, eq=False)
class NormalizedEpisodes(EpisodeArrays):
    """Episodes as the model sees them: float32, normalised.

    Attributes:
        returns: float64 (N,), standardised; NaN without a label.
    """

    returns: NDArray[np.float64]


@dataclass(frozen=True)
class EpisodeProblem:
    """An episode that cannot be used, and why (one line)."""

    path: Path
    reason: str


class EpisodeBuffer:
    """Episodes in memory, in the order of their ids when they come from bags.

    Attributes:
        ids: episode ids (N,), unique; latent chains are kept by them.
        lengths: int64 (N,).
        returns: float64 (N,); NaN without a label.
        arrays: float64, as recorded.
        problems: bags that were left out.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        ids: Sequence[str],
        *,
        problems: Sequence[EpisodeProblem] = (),
    ) -> None:
        """Copy episodes into one set of arrays.

        Args:
            episodes: at least one, all of the same sizes; the arrays must be finite.
            ids: one unique id for each.
            problems: what was left out, for `problems`.

        Raises:
            EpisodeError: one of these does not hold.
        """
        _check(episodes, ids)
        self.ids = tuple(ids)
        self.problems = tuple(problems)
        self.lengths = np.array([len(episode) for episode in episodes], dtype=np.int64)
        self.returns = np.array(
            [
                np.nan if episode.episode_return is None else episode.episode_return
                for episode in episodes
            ],
            dtype=np.float64,
        )
        self.arrays = EpisodeArrays(
            observations=np.concatenate([episode.observations for episode in episodes], axis=0),
            actions=np.concatenate([episode.actions for episode in episodes], axis=0),
            valid=np.concatenate([episode.valid for episode in episodes]),
            lengths=self.lengths,
        )
        rewards = np.concatenate([episode.rewards for episode in episodes])
        self._episodes = tuple(self._views(episodes, rewards))

    @classmethod
    def open(
        cls, directories: Path | Sequence[Path], *, embodiment: Embodiment | None = None
    ) -> EpisodeBuffer:
        """Read every complete episode below one or several folders.

        Args:
            directories: folders of bags; a single bag's directory will do as well.
            embodiment: the contract that every bag must have been recorded with; when None, the
                first bag's.

        Raises:
            EpisodeError: a folder is missing, or no episode can be used. A broken episode alone
                is no error; it is listed in `problems`.
            EmbodimentError: a bag was recorded with another embodiment.
        """
        paths = [Path(directories)] if isinstance(directories, (str, Path)) else directories
        trusted = embodiment is not None
        found: dict[str, Episode] = {}
        problems: list[EpisodeProblem] = []
        for bag in sorted(_bags(paths), key=lambda path: (path.name, str(path))):
            try:
                episode = read_episode(bag, embodiment, trusted=trusted)
                embodiment = embodiment or _own_embodiment(bag, episode)
                found[_new_id(bag, episode, found)] = episode
            except EpisodeError as error:
                problems.append(EpisodeProblem(bag, str(error)))
        if not found:
            folders = ", ".join(str(path) for path in paths)
            why = f"; the first problem: {problems[0].reason}" if problems else ""
            raise EpisodeError(
                f"{folders}: no usable episode{why}; collect episodes first or correct the path"
            )
        ids = sorted(found)
        return cls([found[name] for name in ids], ids, problems=problems)

    def __len__(self) -> int:
        return len(self._episodes)

    def __getitem__(self, index: int) -> Episode:
        return self._episodes[index]

    def __iter__(self) -> Iterator[Episode]:
        return iter(self._episodes)

    @property
    def episodes(self) -> tuple[Episode, ...]:
        """The episodes; their arrays are views of the buffer's."""
        return self._episodes

    @cached_property
    def digest(self) -> str:
        """SHA-256 over ids and content, for a checkpoint's lineage."""
        digest = hashlib.sha256()
        digest.update("\n".join(self.ids).encode())
        arrays = self.arrays
        for array in (
            self.lengths,
            self.returns,
            arrays.observations,
            arrays.actions,
            arrays.valid,
        ):
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def windows(
        self,
        episode_indices: NDArray[np.int64],
        starts: NDArray[np.int64],
        *,
        burn_in: int,
        length: int,
    ) -> Windows:
        """Windows in the robot's own units; see `EpisodeArrays.windows`."""
        return self.arrays.windows(episode_indices, starts, burn_in=burn_in, length=length)

    def normalized(self, normalizer: Normalizer) -> NormalizedEpisodes:
        """The whole buffer as the model sees it; windows cut from it need no further work."""
        return NormalizedEpisodes(
            observations=normalizer.normalize_observation(self.arrays.observations),
            actions=normalizer.normalize_action(self.arrays.actions),
            valid=self.arrays.valid,
            lengths=self.lengths,
            returns=normalizer.normalize_return(self.returns),
        )

    def _views(
        self, episodes: Sequence[Episode], rewards: NDArray[np.float64]
    ) -> Iterator[Episode]:
        arrays = self.arrays
        for episode, length, start, first in zip(
            episodes, self.lengths, arrays.action_offsets, arrays.observation_offsets, strict=True
        ):
            yield Episode(
                observations=arrays.observations[first : first + length + 1],
                actions=arrays.actions[start : start + length],
                rewards=rewards[start : start + length],
                valid=arrays.valid[start : start + length],
                terminated=episode.terminated,
                truncated=episode.truncated,
                episode_return=episode.episode_return,
                metadata=episode.metadata,
            )


def stratified_starts(
    lengths: NDArray[np.int64], windows: int, length: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Starts of windows spread over each episode, for an unbiased mean over its steps.

    The starts of all windows that touch an episode of T steps, -(length - 1) to T - 1, are cut
    into W equal strata, and one start is drawn uniformly in each. So every step of the episode,
    the first and the last included, is expected in exactly W * length / (T + length - 1) windows:
    (T + length - 1) / (W * length) times the sum over scored positions is an unbiased estimate of
    the sum over the episode. The price is that windows at the ends are partly outside; each has
    at least one step inside, also in episodes shorter than a window, and what is outside is not
    scored.

    Args:
        lengths: int64 (B,), steps T of each episode.
        windows: windows W of each episode.
        length: scored positions of a window.
        rng: source of randomness.

    Returns:
        int64 (B, W), ascending along W; for `EpisodeArrays.windows`.
    """
    span = (np.asarray(lengths, dtype=np.int64) + length - 1)[:, None]
    place = (np.arange(windows) + rng.random((len(lengths), windows))) / windows
    # Rounding may lift a place to 1.0.
    return np.minimum((place * span).astype(np.int64), span - 1) - (length - 1)


def _bags(directories: Sequence[Path]) -> Iterator[Path]:
    """Complete bags in folders; hidden entries, `.recording` among them, are not looked into."""
    for directory in map(Path, directories):
        if (directory / METADATA_FILE).exists():
            yield directory
            continue
        try:
            entries = list(directory.iterdir())
        except OSError as error:
            raise EpisodeError(
                f"{directory}: cannot be read ({error.strerror}); give a folder of episodes"
            ) from error
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_dir() and _looks_like_a_bag(entry):
                yield entry


def _looks_like_a_bag(path: Path) -> bool:
    # A bag that lost its metadata is a problem to tell, another folder is not our business.
    return (path / METADATA_FILE).exists() or any(path.glob("*.mcap"))


def _new_id(bag: Path, episode: Episode, found: dict[str, Episode]) -> str:
    name = episode.metadata.episode_id if episode.metadata else bag.name
    if name in found:
        raise EpisodeError(f"{bag}: the episode {name} was read already; remove one of the two")
    if not episode.valid.any():
        raise EpisodeError(f"{bag}: no step can be learnt from (all took the safe action)")
    return name


def _own_embodiment(bag: Path, episode: Episode) -> Embodiment | None:
    if episode.metadata is None:
        return None
    return embodiment_from_dict(episode.metadata.embodiment, origin=str(bag))


def _check(episodes: Sequence[Episode], ids: Sequence[str]) -> None:
    if not episodes:
        raise EpisodeError("a buffer needs at least one episode")
    if len(ids) != len(episodes) or len(set(ids)) != len(ids):
        raise EpisodeError(f"{len(episodes)} episodes need as many different ids")
    sizes = (episodes[0].observations.shape[1], episodes[0].actions.shape[1])
    for name, episode in zip(ids, episodes, strict=True):
        own = (episode.observations.shape[1], episode.actions.shape[1])
        if own != sizes:
            raise EpisodeError(
                f"episode {name} has {own[0]} observed and {own[1]} commanded numbers, the first "
                f"has {sizes[0]} and {sizes[1]}; keep robots in separate buffers"
            )
        if not (np.isfinite(episode.observations).all() and np.isfinite(episode.actions).all()):
            raise EpisodeError(f"episode {name} holds numbers that are not finite; leave it out")
