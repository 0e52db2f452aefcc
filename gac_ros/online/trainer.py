"""Training on episodes whose plan is known, because it is what acted in them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros.training.trainer import StepReport, Trainer

# Share of the windows that credit places; the others keep the whole episode in view.
_CREDITED_WINDOWS = 0.7


class KnownPlansTrainer(Trainer):
    """A trainer that leaves the chains of some episodes at the plans that acted in them.

    For an episode of unknown origin the plan is latent, and its chain moves to where the plan
    explains both the actions and the return. An episode that the robot collected itself has no
    latent plan: it is in the bag. Were its chain to move, a lucky start would be explained by
    another plan, as p(y | z, s_1) is narrow, and that plan would look good. Held, the critic
    learns what became of the plan that was really followed, from the start it was followed from.

    Args:
        known: plans (N, D) by episode id.
        credit: of the steps (T,) of each episode, at least 0, see `gac_ros.online.credit`. Its mean
            power over an episode takes the place of the power of the return where episodes are
            drawn by it, and that of the critic's value where the best plans are chosen; within an
            episode it says where windows are cut. None leaves all three as they are, as does
            credit that is zero everywhere.
        arguments: as for `Trainer`.
    """

    def __init__(
        self,
        *arguments: Any,
        known: dict[str, Tensor],
        credit: Sequence[NDArray[np.float64]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        rows = [row for row, name in enumerate(self.episode_ids) if name in known]
        self._known_rows = torch.tensor(rows, dtype=torch.int64)
        self._known_plans = self.chains[:0].clone()
        if rows:
            self._known_plans = torch.stack([known[self.episode_ids[row]] for row in rows])
        self._credit: list[NDArray[np.float64]] | None = None
        if credit is not None and any(steps.any() for steps in credit):
            powers = [steps**self.config.return_power for steps in credit]
            self._credit = [np.cumsum(steps) for steps in powers]
            means = np.array([steps.mean() for steps in powers])
            self._weights = means / means.sum()
        self._hold()

    def step(self) -> StepReport:
        """One iteration; exact with one Langevin move, which is made after the weights' gradient.

        With more, the weights see the known plans moved by all but the last.
        """
        report = super().step()
        self._hold()
        return report

    def _hold(self) -> None:
        self.chains[self._known_rows] = self._known_plans

    def _best_plans(self, starts: Tensor) -> Tensor:
        if self._credit is None or not self._samples_plans:
            return super()._best_plans(starts)
        # Among equals, the higher return.
        order = np.lexsort((-self._returns.cpu().numpy(), -self._weights))
        return self._modes(order[: self.config.best_plans])

    def _window_starts(self, indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Most of the windows of an episode with credit are cut around steps that have it."""
        starts = super()._window_starts(indices, count)
        if self._credit is None:
            return starts
        chosen = self._rng.random(starts.shape) < _CREDITED_WINDOWS
        places = self._rng.random(starts.shape)
        before = self._rng.integers(0, self.config.window_length, starts.shape)
        for row, index in enumerate(indices):
            sums = self._credit[index]
            if sums[-1] > 0.0:
                steps = np.searchsorted(sums, places[row] * sums[-1], side="right")
                steps = np.minimum(steps, len(sums) - 1)
                starts[row] = np.where(chosen[row], steps - before[row], starts[row])
        return starts
