"""An actor that plans again during an episode."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.checkpoint import Checkpoint
from gac_ros.planning import Mode, Plan, Planner
from gac_ros.policy import GacActor, Policy
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.replanner import Replanner
from gac_ros.replanning.situation import Advice, History, Situation


class Advisor(Protocol):
    """Who considers situations: at once in the same thread, or elsewhere, for a later step.

    Attributes:
        at_once: whether the answer is there when `ask` returns, for the step at hand.
    """

    at_once: bool

    @property
    def busy(self) -> bool:
        """Whether no situation can be taken now."""

    def ask(self, situation: Situation) -> None:
        """Have a situation considered; only when not busy."""

    def answer(self) -> Advice | None:
        """The advice that has come, once; None when there is none (yet). Never waits."""

    def forget(self) -> None:
        """Whatever is being considered is of no interest any more."""


class DirectAdvisor:
    """Considers a situation while the caller waits: in lock-step, where nothing moves meanwhile.

    Attributes:
        at_once: always.
        busy: never.
    """

    at_once = True

    def __init__(self, replanner: Replanner) -> None:
        self._replanner = replanner
        self._advice: Advice | None = None
        self.busy = False

    def ask(self, situation: Situation) -> None:
        """Consider it now."""
        self._advice = self._replanner.consider(situation)

    def answer(self) -> Advice | None:
        """The advice of the last `ask`, once."""
        advice, self._advice = self._advice, None
        return advice

    def forget(self) -> None:
        """Drop the advice."""
        self._advice = None


class ReplanningActor(GacActor):
    """A GacActor that has its situation considered and changes its plan between two steps.

    Whoever runs it tells it what was executed and earned; `plan` is the plan of the next action.
    An advisor that is not `at_once` is talked to when an action has been executed, so that none
    waits for the talking.

    Attributes:
        looks: answers that have come, in all episodes.
        changes: changes of plan in this episode.
        counts_rewards: whether the rewards so far enter the predicted return.

    Args:
        checkpoint: whose model acts.
        planner: makes the first plan.
        policy: acts.
        mode: of the plans.
        advisor: considers situations.
        config: when.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        planner: Planner,
        policy: Policy,
        mode: Mode,
        advisor: Advisor,
        config: ReplanningConfig,
    ) -> None:
        super().__init__(planner, policy, mode)
        self._advisor = advisor
        self._config = config
        self._normalizer = checkpoint.normalizer
        self.counts_rewards = checkpoint.embodiment.episode_return.source == "reward_topic"
        self._history = History(config.window + checkpoint.model.config.burn_in)
        self._no_steps = (
            np.empty((0, checkpoint.model.config.observation_size), dtype=np.float32),
            np.empty((0, checkpoint.model.config.action_size), dtype=np.float32),
        )
        self._promised: float | None = None
        self._next_look = 0
        self._changed_at: int | None = None
        self.looks = 0
        self.changes = 0

    def follow(self, plan: Plan) -> None:
        """Start an episode with a plan."""
        super().follow(plan)
        self._advisor.forget()
        self._history.clear()
        self._promised = None
        self._next_look = 0
        self._changed_at = None
        self.changes = 0

    def act(self, observation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Action (A,) for an observation (O,), of a new plan if there is a better one by now."""
        normalized = self._normalizer.normalize_observation(observation)
        if self._advisor.at_once:
            self._consult(normalized, self._history.step)
            self._take_advice(self._history.step)
        self._history.observed(normalized)
        return super().act(observation)

    def executed(self, action: NDArray[np.float64]) -> None:
        """Note the action (A,) that was sent in this step, whoever decided it."""
        if not self._advisor.at_once:
            self._consult(self._history.pending, self._history.step + 1)
        self._history.executed(self._normalizer.normalize_action(action))

    def rewarded(self, reward: float) -> None:
        """Note the reward of a step."""
        self._history.reward_sum += reward

    def _consult(self, observation: NDArray[np.float32] | None, step: int) -> None:
        """Take the advice that has come, and ask for more if it is time.

        Args:
            observation: normalised, (O,), of the present step; None where the policy had no say.
            step: whose action is the next.
        """
        self._take_advice(step)
        due = self._history.step >= self._next_look
        if due and observation is not None and not self._advisor.busy:
            self._advisor.ask(self._situation(observation, step))
            self._next_look = self._history.step + self._config.period

    def _situation(self, observation: NDArray[np.float32], step: int) -> Situation:
        assert self.plan is not None
        history = self._history
        # Actions that interrupt the plan at random say nothing about it.
        silent = history.empty or self.plan.bursts is not None
        observations, actions = self._no_steps if silent else history.arrays()
        earned = history.reward_sum
        return Situation(
            step=history.step,
            plan=self.plan,
            promised=self._promised,
            reward_sum=earned if self.counts_rewards and math.isfinite(earned) else None,
            observation=observation,
            observations=observations,
            actions=actions,
            may_change=self._changed_at is None or step - self._changed_at >= self._config.rest,
            seed=history.step,
        )

    def _take_advice(self, step: int) -> None:
        advice = self._advisor.answer()
        if advice is None:
            return
        self.looks += 1
        if self._promised is None:
            self._promised = advice.outlook
        if advice.plan is not None:
            bursts = self.plan.bursts if self.plan is not None else None
            self.change(replace(advice.plan, step=step, bursts=bursts))
            self._promised = advice.plan.predicted_return
            self._changed_at = step
            self.changes += 1
