"""The replay buffer: folders of episode bags as arrays to learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros.buffer.arrays import EpisodeArrays, NormalizedEpisodes, Windows, stratified_starts
from gac_ros.buffer.decoded import Source, Table, open_table
from gac_ros.buffer.folders import cache_folder
from gac_ros.buffer.reader import read_episode, scored
from gac_ros.buffer.rows import EpisodeSummaryRow
from gac_ros.buffer.summary import list_episodes
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import Episode
from gac_ros.errors import EmbodimentError, EpisodeError
from gac_ros.normalization import Normalizer

__all__ = ["EpisodeBuffer", "EpisodeProblem", "NormalizedEpisodes", "stratified_starts"]


@dataclass(frozen=True)
class EpisodeProblem:
    """An episode that cannot be used, and why (one line)."""

    path: Path
    reason: str


class EpisodeBuffer:
    """Episodes, in the order of their ids when they come from bags.

    Attributes:
        ids: episode ids (N,), unique; latent chains are kept by them.
        lengths: int64 (N,).
        returns: float64 (N,); NaN without a label.
        arrays: float64, as recorded. Those of bags are mapped from a file, not held in memory.
        problems: bags that were left out.
        bags: the bags (N,) that the episodes come from; empty for those that come from elsewhere.
    """

    def __init__(
        self,
        episodes: Sequence[Episode],
        ids: Sequence[str],
        *,
        problems: Sequence[EpisodeProblem] = (),
        bags: Sequence[Path] = (),
        table: Table | None = None,
    ) -> None:
        """Copy episodes into one set of arrays.

        Args:
            episodes: at least one, all of the same sizes; the arrays must be finite.
            ids: one unique id for each.
            problems: what was left out, for `problems`.
            bags: where each one comes from.
            table: the arrays that the episodes, all in their order, are views of; nothing is
                copied then.

        Raises:
            EpisodeError: one of these does not hold.
        """
        self.ids = tuple(ids)
        self.problems = tuple(problems)
        self.bags = tuple(bags)
        if table is None:
            _check(episodes, ids)
            table = _joined(episodes)
            places = _slices(table.lengths)
            episodes = [
                replace(episode, **_parts(table, *place))
                for episode, place in zip(episodes, places, strict=True)
            ]
        self.lengths = np.array([len(episode) for episode in episodes], dtype=np.int64)
        self.returns = np.array([_label(episode) for episode in episodes], dtype=np.float64)
        self.arrays = EpisodeArrays(table.observations, table.actions, table.valid, self.lengths)
        self._episodes = tuple(episodes)

    @classmethod
    def open(
        cls,
        directories: Path | str | Sequence[Path | str],
        *,
        embodiment: Embodiment | None = None,
        on_episode: Callable[[], None] | None = None,
    ) -> EpisodeBuffer:
        """Open every complete episode below one or several folders.

        What was decoded before is taken from the folders' cache; see `decoded`.

        Args:
            directories: folders of bags, single bags, or addresses of object storage.
            embodiment: the contract that every bag must have been recorded with; when None, the
                first bag's.
            on_episode: called for each episode that had to be decoded.

        Raises:
            EpisodeError: a folder is missing, or no episode can be used. A broken episode alone
                is no error; it is listed in `problems`.
            EmbodimentError: a bag was recorded with another embodiment.
        """
        paths = [directories] if isinstance(directories, (str, Path)) else directories
        rows, problems = _choose(paths)
        found: list[tuple[EpisodeSummaryRow, Episode]] = []
        table = None
        if rows:
            contract = embodiment or _first_embodiment(rows)
            table = open_table(
                [Source(row.digest, partial(_read, row.path, contract), row.path) for row in rows],
                contract.digest,
                _caches(rows),
                on_episode,
            )
            function = None if embodiment is None else embodiment.episode_return.function
            found, unusable = _take(rows, table, function)
            problems += unusable
            if table.lengths.sum() != sum(len(episode) for _, episode in found):
                table = None  # the scoring function failed: an episode of the table is left out
        if not found:
            folders = ", ".join(str(path) for path in paths)
            why = f"; the first problem: {problems[0].reason}" if problems else ""
            raise EpisodeError(
                f"{folders}: no usable episode{why}; collect episodes first or correct the path"
            )
        return cls(
            [episode for _, episode in found],
            [row.episode_id for row, _ in found],
            problems=sorted(problems, key=lambda problem: str(problem.path)),
            bags=[row.path for row, _ in found],
            table=table,
        )

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
            self.arrays, normalizer, normalizer.normalize_return(self.returns)
        )


def _choose(
    paths: Sequence[Path | str],
) -> tuple[list[EpisodeSummaryRow], list[EpisodeProblem]]:
    """Rows to learn from, in the order of their ids, and the bags that are left out."""
    rows: dict[str, EpisodeSummaryRow] = {}
    problems: list[EpisodeProblem] = []
    listed = [row for path in paths for row in list_episodes(path)]
    for row in sorted(listed, key=lambda row: (row.path.name, str(row.path))):
        if row.state == "damaged":
            problems.append(EpisodeProblem(row.path, row.problem))
        elif row.usable and row.episode_id in rows:
            reason = f"the episode {row.episode_id} was read already; remove one of the two"
            problems.append(EpisodeProblem(row.path, f"{row.path}: {reason}"))
        elif row.usable:
            rows[row.episode_id] = row
    return [rows[name] for name in sorted(rows)], problems


def _first_embodiment(rows: Sequence[EpisodeSummaryRow]) -> Embodiment:
    """The contract of the first bag whose contract can be read."""
    problem: EmbodimentError | None = None
    for row in rows:
        assert row.metadata is not None, "only usable rows are chosen"
        try:
            return embodiment_from_dict(row.metadata.embodiment, origin=str(row.path))
        except EmbodimentError as error:
            problem = problem or error
    raise EpisodeError(f"{problem}; the bag comes from another version of gac_ros")


def _caches(rows: Sequence[EpisodeSummaryRow]) -> list[Path]:
    """Where tables of these episodes may be kept."""
    folders = dict.fromkeys(row.path.parent for row in rows)
    return [cache for cache in map(cache_folder, folders) if cache is not None]


def _read(bag: Path, embodiment: Embodiment) -> Episode:
    # Not trusted: no scoring function runs, as its result would be kept.
    episode = read_episode(bag, embodiment, trusted=False)
    if not episode.valid.any():
        raise EpisodeError(f"{bag}: no step can be learnt from (all took the safe action)")
    return episode


def _take(
    rows: Sequence[EpisodeSummaryRow], table: Table, function: str | None
) -> tuple[list[tuple[EpisodeSummaryRow, Episode]], list[EpisodeProblem]]:
    """The episodes of a table, and those that cannot be used."""
    problems = [EpisodeProblem(rows[number].path, why) for number, why in table.problems.items()]
    usable = [number for number in range(len(rows)) if number not in table.problems]
    found: list[tuple[EpisodeSummaryRow, Episode]] = []
    for number, slices in zip(usable, _slices(table.lengths[usable]), strict=True):
        row, y = rows[number], float(table.returns[number])
        assert row.metadata is not None, "only usable rows are chosen"
        episode = Episode(
            **_parts(table, *slices),
            terminated=row.metadata.terminated,
            truncated=row.metadata.truncated,
            episode_return=None if np.isnan(y) else y,
            metadata=row.metadata,
        )
        try:
            found.append((row, scored(row.path, episode, function) if function else episode))
        except EpisodeError as error:
            problems.append(EpisodeProblem(row.path, str(error)))
    return found, problems


def _joined(episodes: Sequence[Episode]) -> Table:
    """Episodes copied end to end."""
    return Table(
        observations=np.concatenate([episode.observations for episode in episodes], axis=0),
        actions=np.concatenate([episode.actions for episode in episodes], axis=0),
        rewards=np.concatenate([episode.rewards for episode in episodes]),
        valid=np.concatenate([episode.valid for episode in episodes]),
        lengths=np.array([len(episode) for episode in episodes], dtype=np.int64),
        returns=np.array([_label(episode) for episode in episodes]),
        problems={},
    )


def _label(episode: Episode) -> float:
    return np.nan if episode.episode_return is None else episode.episode_return


def _slices(lengths: NDArray[np.int64]) -> Iterator[tuple[slice, slice]]:
    """Where each episode's observations and actions are, in arrays laid end to end."""
    for number, (end, length) in enumerate(
        zip(np.cumsum(lengths).tolist(), lengths.tolist(), strict=True)
    ):
        start = end - length
        yield slice(start + number, end + number + 1), slice(start, end)


def _parts(table: Table, observed: slice, acted: slice) -> dict[str, Any]:
    return {
        "observations": table.observations[observed],
        "actions": table.actions[acted],
        "rewards": table.rewards[acted],
        "valid": table.valid[acted],
    }


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
