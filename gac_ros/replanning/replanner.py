"""The posterior of the plan given the history so far and the return still needed.

    p(z0 | history, target) ~ p(z0) p(executed actions | z0) p(return still needed | z0, s_t),

the terms of `GacModel.log_joint` with the recent steps as its windows and the present observation
in the place of the first one. The critic was trained on first observations only, so the present
one is brought into the range of those before it is asked (docs/method.md).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gac_ros.checkpoint import Checkpoint
from gac_ros.model.gac import TrajectoryWindows
from gac_ros.model.langevin import sample_langevin
from gac_ros.planning import Plan
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.situation import Advice, Float32, Situation, Surprise

# The last steps of an episode decide nothing; dividing by their share of it would only add noise.
_SMALLEST_SHARE = 0.02


class Replanner:
    """Judges situations and offers better plans. It holds no state between calls.

    Args:
        checkpoint: the model in evaluation mode, its best plans and starts.
        config: see `ReplanningConfig`.
    """

    def __init__(self, checkpoint: Checkpoint, config: ReplanningConfig) -> None:
        self.config = config
        self._model = checkpoint.model
        self._normalizer = checkpoint.normalizer
        self._best_plans = checkpoint.best_plans
        self._device = checkpoint.starts.device
        self._lowest = checkpoint.starts.min(0).values
        self._highest = checkpoint.starts.max(0).values
        self._length = checkpoint.model.config.episode_length

    def consider(self, situation: Situation) -> Advice:
        """Look at a situation; the same situation gets the same advice."""
        config = self.config
        current = self._tensor(situation.plan.z0)[None]
        present = self._present(situation)
        with torch.no_grad():
            value = self._value(current, present).item()
        outlook = self._outlook(value, situation)
        behind = self._behind(situation, outlook)
        surprise = self._surprise(situation, behind)
        wanted = config.when == "periodic" or (config.when == "surprised" and bool(surprise))
        plan = None
        if wanted and situation.may_change and situation.step > 0:
            # A plan that has not kept its promise is believed that much less from here on.
            plan = self._better(situation, current, value - max(behind, 0.0), present)
        return Advice(situation.step, outlook, surprise, plan)

    def _behind(self, situation: Situation, outlook: float) -> float:
        """How far the outlook has fallen behind the promise, in standard deviations."""
        if situation.promised is None:
            return 0.0
        return (situation.promised - outlook) / self._normalizer.return_std

    def _surprise(self, situation: Situation, behind: float) -> Surprise:
        if behind > self.config.shortfall:
            return "shortfall"
        windows = self._windows(situation, 1)
        if windows is not None:
            z = self._tensor(situation.plan.z)[None]
            with torch.no_grad():
                density = self._model.log_actions(z, windows) / windows.lengths
            if density.item() < -self.config.unlikely:
                return "unlikely"
        return ""

    def _better(
        self, situation: Situation, current: Tensor, value: float, present: Tensor
    ) -> Plan | None:
        """The best posterior sample, if it promises enough more than the current plan's value."""
        samples = self.sample(situation, self._starts_of_chains(situation, current))
        with torch.no_grad():
            values = self._value(samples, present)
            best = int(values.argmax())
            if not values[best].item() >= value + self.config.margin:  # nor when it is NaN
                return None
            z = self._model.plan(samples[best : best + 1])
            spread = self._model.returns(z, present).std(-1).item()
        return Plan(
            z0=samples[best].cpu().numpy(),
            z=z[0].cpu().numpy(),
            mode=situation.plan.mode,
            predicted_return=self._outlook(values[best].item(), situation),
            predicted_return_std=spread * self._normalizer.return_std * self._share(situation),
            target_return=situation.plan.target_return,
        )

    def _starts_of_chains(self, situation: Situation, current: Tensor) -> Tensor:
        """Where the chains start, (C, N, D): the current plan and the best known ones.

        A short run from a plan that leads nowhere does not get away from it. Exploring, new plans
        are wanted, and a run stays with its own.
        """
        count = self.config.chains
        known = self._best_plans[:0]
        if situation.plan.mode != "explore":
            known = self._best_plans[: round(self.config.known_share * count)]
        return torch.cat((current.expand(count - len(known), -1, -1), known))

    def sample(self, situation: Situation, start: Tensor) -> Tensor:
        """Samples (C, N, D) of the posterior by Langevin dynamics from `start` (C, N, D).

        The posterior of eq. 11 of docs/method.md.
        """
        count = len(start)
        windows = self._windows(situation, count)
        present = self._present(situation).expand(count, -1)
        y = torch.full((count,), self._needed(situation), device=self._device)

        def log_density(z0: Tensor) -> Tensor:
            if windows is not None:
                return self._model.log_joint(z0, windows, y).total
            members = self._model.returns(self._model.plan(z0), present)
            return self._model.log_prior(z0) + self._model.log_return(members, y)

        return sample_langevin(
            log_density,
            start,
            steps=self.config.langevin_steps,
            step_size=self.config.langevin_step_size,
            generator=torch.Generator(device="cpu").manual_seed(situation.seed),
        )

    # --- returns ----------------------------------------------------------------------------------

    def _share(self, situation: Situation) -> float:
        """Share of the episode that is still to come."""
        return max(1.0 - situation.step / self._length, _SMALLEST_SHARE)

    def _value(self, z0: Tensor, present: Tensor) -> Tensor:
        """Standardised return of a whole episode that begins here, for plans (C, N, D): (C,)."""
        starts = present.expand(len(z0), -1)
        return self._model.returns(self._model.plan(z0), starts).mean(-1)

    def _outlook(self, value: float, situation: Situation) -> float:
        """Return of this episode: so far, and the rest's share of a whole one from here.

        Eq. 12 of docs/method.md.
        """
        whole = float(self._normalizer.denormalize_return(value))
        if situation.reward_sum is None:
            return whole
        return situation.reward_sum + self._share(situation) * whole

    def _needed(self, situation: Situation) -> float:
        """What an episode from here would have to return, standardised, to meet the target.

        Never more than the data's best return (or the target, if that is higher): the critic knows
        nothing of plans beyond.
        """
        highest = self._normalizer.return_max
        target = situation.plan.target_return
        if target is None:
            target = highest if situation.promised is None else situation.promised
        needed = target
        if situation.reward_sum is not None:
            needed = (target - situation.reward_sum) / self._share(situation)
        return float(self._normalizer.normalize_return(min(needed, max(highest, target))))

    # --- arrays -----------------------------------------------------------------------------------

    def _present(self, situation: Situation) -> Tensor:
        """The present observation (1, O), brought into the range of the data's first ones."""
        observation = self._tensor(situation.observation)[None]
        return observation.clamp(self._lowest, self._highest)

    def _windows(self, situation: Situation, count: int) -> TrajectoryWindows | None:
        """One window of the latest executed steps, for each of `count` chains; None without any."""
        steps = len(situation.actions)
        if steps == 0:
            return None
        burn_in = max(steps - self.config.window, 0)
        actions = self._tensor(situation.actions)
        previous = torch.cat((torch.zeros_like(actions[:1]), actions[:-1]))
        indices = torch.arange(situation.step - steps, situation.step, device=self._device)
        scored = torch.arange(steps, device=self._device) >= burn_in

        def each(x: Tensor) -> Tensor:
            return x.expand(count, 1, *x.shape)

        return TrajectoryWindows(
            observations=each(self._tensor(situation.observations)),
            previous_actions=each(previous),
            actions=each(actions),
            steps=each(indices),
            present=each(torch.ones_like(scored)),
            scored=each(scored),
            starts=self._present(situation).expand(count, -1),
            lengths=torch.full((count,), float(steps - burn_in), device=self._device),
            burn_in=burn_in,
        )

    def _tensor(self, array: Float32) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self._device)
