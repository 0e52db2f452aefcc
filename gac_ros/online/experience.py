"""The buffer of an online run: the episodes it began with and those it collected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.reader import read_plan
from gac_ros.buffer.summary import list_episodes
from gac_ros.embodiment import Embodiment
from gac_ros.episode import Episode
from gac_ros.errors import EpisodeError
from gac_ros.online.credit import step_credit
from gac_ros.online.merit import merits
from gac_ros.online.mixture import Ingredients, Trial

# Merit above which an episode's plan is kept.
_PROVEN = 0.5

Keep = Literal["all", "worst-half"]


def choose_bags(folders: Sequence[Path | str], keep: Keep) -> list[Path]:
    """Bags of complete episodes to begin with, in the order of their ids.

    Args:
        folders: of bags, or addresses of object storage.
        keep: all of them, or the half with the lowest returns (with equal returns, the earliest
            episodes): a weak start to improve upon.

    Raises:
        EpisodeError: none is left, or returns are missing.
    """
    rows = [row for folder in folders for row in list_episodes(folder) if row.metadata]
    if keep == "worst-half":
        unlabelled = sum(row.episode_return is None for row in rows)
        if unlabelled:
            raise EpisodeError(
                f"{unlabelled} of {len(rows)} episodes have no return, so the worst half cannot be "
                "told; label them or use --keep all"
            )
        rows.sort(key=lambda row: (row.episode_return or 0.0, row.episode_id))
        rows = rows[: len(rows) // 2]
    if not rows:
        names = ", ".join(map(str, folders))
        raise EpisodeError(f"{names}: no complete episode; collect some or correct the path")
    return sorted((row.path for row in rows), key=lambda path: (path.name, str(path)))


class Experience:
    """Episodes in memory, and the plans that acted in those the run collected.

    Attributes:
        offline: how many episodes the run began with; they come first.
        plans: z0 (N, D) by episode id, of the episodes in which a plan alone acted.
        interrupted: likewise, of those whose plan bursts of random actions or a rest interrupted:
            what explains them is near that plan, but not known.
        targets: y+ by episode id, of the episodes whose plan had one.
        trials: of exploring plans.
    """

    def __init__(self, embodiment: Embodiment, initial_bags: Sequence[Path]) -> None:
        self._embodiment = embodiment
        self._episodes: list[Episode] = []
        self._ids: list[str] = []
        self._bags: list[Path] = []
        self.plans: dict[str, Tensor] = {}
        self.interrupted: dict[str, Tensor] = {}
        self.targets: dict[str, float] = {}
        self.trials: list[Trial] = []
        if initial_bags:
            self._add(EpisodeBuffer.open(initial_bags, embodiment=embodiment))
        self.offline = len(self._ids)

    def add_collected(self, folder: Path, seeds: Sequence[int] | None = None) -> list[Episode]:
        """Take in the episodes of a round.

        Args:
            folder: of the bags.
            seeds: of the episodes that must be there; None where a robot made its own.

        Returns:
            The episodes in the order of `seeds`, else of their ids.

        Raises:
            EpisodeError: one cannot be read, or has no return.
        """
        buffer = EpisodeBuffer.open(folder, embodiment=self._embodiment)
        episodes = list(buffer) if seeds is None else _ordered(buffer, seeds, folder)
        if np.isnan(buffer.returns).any():
            raise EpisodeError(
                f"{folder}: episodes without a return; online learning needs a reward topic or a "
                "scoring function in the embodiment"
            )
        self._add(buffer)
        for episode, merit in zip(episodes, _merits(episodes), strict=True):
            metadata = episode.metadata
            assert metadata is not None
            plan = read_plan(folder / metadata.episode_id)
            if plan is None or "z0" not in plan:
                continue
            where = self.interrupted if plan.get("bursts") else self.plans
            where[metadata.episode_id] = torch.tensor(plan["z0"], dtype=torch.float32)
            if plan.get("target_return") is not None:
                self.targets[metadata.episode_id] = float(plan["target_return"])
            made = Ingredients.of(plan)
            if made is not None:
                self.trials.append(Trial(made, best=bool(merit == 1.0)))
        return episodes

    def _add(self, buffer: EpisodeBuffer) -> None:
        self._episodes += buffer.episodes
        self._ids += buffer.ids
        self._bags += buffer.bags

    def forget_plans(self, shape: tuple[int, ...]) -> None:
        """Take the plans of another shape than a model's for unknown: another model made them."""
        for plans in (self.plans, self.interrupted):
            for episode_id in [key for key, plan in plans.items() if plan.shape != shape]:
                del plans[episode_id]

    @property
    def returns(self) -> list[float]:
        """Returns of all episodes, in the order in which they were taken in."""
        return [e.episode_return for e in self._episodes if e.episode_return is not None]

    def proven(self, plans: dict[str, Tensor], merit: NDArray[np.float64]) -> dict[str, Tensor]:
        """Those of `plans` whose episode went better than most that began like it.

        What went wrong under a plan is not what the actor should learn to do under it: where it
        stood still it would be taught to stand still.

        Args:
            plans: by episode id.
            merit: of all episodes (N,).
        """
        by_id = dict(zip(self._ids, merit, strict=True))
        return {name: plan for name, plan in plans.items() if by_id[name] > _PROVEN}

    def merit(self) -> NDArray[np.float64]:
        """How well each episode went for where it began (N,), see `gac_ros.online.merit`."""
        return _merits(self._episodes)

    def credit(self) -> list[NDArray[np.float64]]:
        """Of the steps of each episode (T,), see `gac_ros.online.credit`."""
        return step_credit(
            [episode.observations[:-1] for episode in self._episodes],
            np.array(self.returns),
            [episode.terminated for episode in self._episodes],
        )

    def buffer(self) -> EpisodeBuffer:
        """All episodes, to train on."""
        return EpisodeBuffer(self._episodes, self._ids, bags=self._bags)

    def emphasis(self, online_share: float | None) -> NDArray[np.float64] | None:
        """Factors (N,) that give collected episodes this share of the batches, for `Trainer`."""
        online = len(self._ids) - self.offline
        if online_share is None or not online or not self.offline:
            return None
        factors = np.full(len(self._ids), (1.0 - online_share) / self.offline)
        factors[self.offline :] = online_share / online
        return factors


def _merits(episodes: Sequence[Episode]) -> NDArray[np.float64]:
    starts = np.stack([episode.observations[0] for episode in episodes])
    scale = starts.std(axis=0)
    returns = [e.episode_return for e in episodes if e.episode_return is not None]
    return merits(starts / np.where(scale > 0.0, scale, 1.0), np.array(returns))


def _ordered(buffer: EpisodeBuffer, seeds: Sequence[int], folder: Path) -> list[Episode]:
    by_seed = {e.metadata.seed: e for e in buffer if e.metadata is not None}
    missing = [seed for seed in seeds if seed not in by_seed]
    if missing:
        raise EpisodeError(f"{folder}: the episode of seed {missing[0]} is missing or damaged")
    return [by_seed[seed] for seed in seeds]


def recorded_seeds(folder: Path, embodiment: Embodiment) -> set[int]:
    """Seeds of the complete episodes in a folder; empty when there is none."""
    if not folder.is_dir():
        return set()
    try:
        buffer = EpisodeBuffer.open(folder, embodiment=embodiment)
    except EpisodeError:
        return set()
    return {e.metadata.seed for e in buffer if e.metadata and e.metadata.seed is not None}
