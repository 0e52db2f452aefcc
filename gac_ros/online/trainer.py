"""Training on episodes whose plan is known, because it is what acted in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gac_ros.training.trainer import StepReport, Trainer


class KnownPlansTrainer(Trainer):
    """A trainer that leaves the chains of some episodes at the plans that acted in them.

    For an episode of unknown origin the plan is latent, and its chain moves to where the plan
    explains both the actions and the return. An episode that the robot collected itself has no
    latent plan: it is in the bag. Were its chain to move, a lucky start would be explained by
    another plan, as p(y | z, s_1) is narrow, and that plan would look good. Held, the critic
    learns what became of the plan that was really followed, from the start it was followed from.

    Args:
        known: plans (N, D) by episode id.
        merit: of each episode (N,), at least 0, see `gac_ros.online.merit`. It takes the place of
            the return where episodes are drawn by it, and that of the critic's value where the best
            plans are chosen. None leaves both as they are, as does merit that is zero everywhere.
        arguments: as for `Trainer`.
    """

    def __init__(
        self,
        *arguments: Any,
        known: dict[str, Tensor],
        merit: NDArray[np.float64] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*arguments, **options)
        rows = [row for row, name in enumerate(self.episode_ids) if name in known]
        self._known_rows = torch.tensor(rows, dtype=torch.int64)
        self._known_plans = self.chains[:0].clone()
        if rows:
            self._known_plans = torch.stack([known[self.episode_ids[row]] for row in rows])
        self._merit = merit if merit is not None and merit.any() else None
        if self._merit is not None:
            weights = self._merit**self.config.return_power
            self._weights = weights / weights.sum()
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
        if self._merit is None or not self._samples_plans:
            return super()._best_plans(starts)
        # Among equals, the higher return.
        order = np.lexsort((-self._returns.cpu().numpy(), -self._merit))
        return self._modes(order[: self.config.best_plans])
