"""The policy: actions from a plan and the observations of the episode so far."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from gac_ros.model.gac import GacModel
from gac_ros.model.generator import RingCache
from gac_ros.normalization import Normalizer
from gac_ros.planning import Mode, Plan, Planner


class Policy:
    """Decodes a plan step by step with a ring cache of keys and values.

    `follow` starts an episode with a plan; `act` takes one observation and returns one action.
    """

    def __init__(self, model: GacModel, normalizer: Normalizer) -> None:
        self._model = model
        self._normalizer = normalizer
        self._device = next(model.parameters()).device
        self._cache: RingCache | None = None
        self._previous_action = torch.zeros(1, model.config.action_size, device=self._device)

    def follow(self, plan: Plan) -> None:
        """Start an episode with this plan; the history of the last one is forgotten."""
        with torch.inference_mode():
            z = torch.from_numpy(plan.z).to(self._device)[None]
            self._cache = self._model.generator.start(z)
        self._previous_action = torch.zeros_like(self._previous_action)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) in its own units for an observation (O,)."""
        if self._cache is None:
            raise RuntimeError("call follow(plan) before act(observation)")
        normalized = torch.from_numpy(self._normalizer.normalize_observation(observation))
        with torch.inference_mode():
            mean = self._model.generator.step(
                self._cache, normalized.to(self._device)[None], self._previous_action
            )
            self._previous_action = mean.clamp(-1.0, 1.0)
        return self._normalizer.denormalize_action(mean[0].cpu().numpy())

    def warm_up(self) -> None:
        """Pay the one-time costs of the first decisions before the robot waits for them."""
        config = self._model.config
        zeros = np.zeros((config.plan_tokens, config.plan_token_size), dtype=np.float32)
        self.follow(Plan(zeros, zeros, "exploit", 0.0, 0.0))
        for _ in range(2 * config.context):
            self.act(self._normalizer.observation_mean)
        self._cache = None


class GacActor:
    """A planner and a policy behind the actor's two verbs: plan at `begin`, then `act`."""

    def __init__(self, planner: Planner, policy: Policy, mode: Mode) -> None:
        self._planner = planner
        self._policy = policy
        self._mode: Mode = mode
        self.plan: Plan | None = None

    def begin(self, seed: int) -> None:
        """Plan an episode."""
        self.follow(self._planner.plan(self._mode, seed))

    def follow(self, plan: Plan) -> None:
        """Start an episode with a plan made elsewhere (by the plan worker, or recorded)."""
        self.plan = plan
        self._policy.follow(plan)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,)."""
        return self._policy.act(observation)
