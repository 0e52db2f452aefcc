"""The policy: actions from a plan and the observations of the episode so far."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gac_ros.exploration import BurstSequence
from gac_ros.model.decoding import Decoder, make_decoder
from gac_ros.model.gac import GacModel
from gac_ros.normalization import Normalizer
from gac_ros.planning import Mode, Plan, Planner


class Policy:
    """Decodes a plan step by step.

    `follow` starts an episode with a plan; `act` takes one observation and returns one action.

    Args:
        model: in evaluation mode, on its device; not changed while the policy is used.
        normalizer: of the model's training data.
        decoder: runs the model's generator; when None, the fastest one for its device.
    """

    def __init__(
        self, model: GacModel, normalizer: Normalizer, decoder: Decoder | None = None
    ) -> None:
        self._config = model.config
        self._normalizer = normalizer
        self._decoder = decoder or make_decoder(model.generator)
        self._follows = False
        self._bursts: BurstSequence | None = None

    def follow(self, plan: Plan) -> None:
        """Start an episode with this plan; the history of the last one is forgotten."""
        self._decoder.start(plan.z)
        self._bursts = None
        if plan.bursts is not None:
            self._bursts = BurstSequence(plan.bursts, self._config.action_size)
        self._follows = True

    def change(self, plan: Plan) -> None:
        """Follow another plan from the next action on; the history stays."""
        if not self._follows:
            raise RuntimeError("call follow(plan) before change(plan)")
        self._decoder.change(plan.z)

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) in its own units for an observation (O,)."""
        if not self._follows:
            raise RuntimeError("call follow(plan) before act(observation)")
        mean = self._decoder.step(self._normalizer.normalize_observation(observation))
        if self._bursts is not None:
            mean = self._bursts.apply(mean)
        return self._normalizer.denormalize_action(mean)

    def rehearse(self) -> None:
        """Decide once and forget it again, before the first action of an episode.

        A processor forgets what it does not use: after a second of waiting the first action would
        take several times as long as the later ones.
        """
        if not self._follows:
            raise RuntimeError("call follow(plan) before rehearse()")
        normalizer = self._normalizer
        observation = normalizer.normalize_observation(normalizer.observation_mean)
        try:
            normalizer.denormalize_action(self._decoder.step(observation))
        finally:  # a step that failed may have left half of itself behind
            self._decoder.rewind()

    def warm_up(self) -> None:
        """Pay the one-time costs of the first decisions before the robot waits for them."""
        config = self._config
        zeros = np.zeros((config.plan_tokens, config.plan_token_size), dtype=np.float32)
        self.follow(Plan(zeros, zeros, "exploit", 0.0, 0.0))
        for _ in range(2 * config.context):
            self.act(self._normalizer.observation_mean)
        self._follows = False


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

    def change(self, plan: Plan) -> None:
        """Follow another plan from the next action on."""
        self.plan = plan
        self._policy.change(plan)

    def rehearse(self) -> None:
        """Decide once and forget it again, before the first action; see `Policy.rehearse`."""
        self._policy.rehearse()

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,)."""
        return self._policy.act(observation)
