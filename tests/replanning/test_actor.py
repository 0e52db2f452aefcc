"""When the actor has its situation considered, and when it changes its plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gac_ros.planning import Plan
from gac_ros.replanning.actor import ReplanningActor
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.situation import Advice, Situation
from tests.toy import untrained_checkpoint

CHECKPOINT = untrained_checkpoint("hopper")
CONFIG = ReplanningConfig(when="periodic", period=5, rest=8)
OBSERVATIONS = np.random.default_rng(0).normal(size=(30, 11))


class Adviser:
    """Answers a number of steps after it was asked, and always knows another plan."""

    def __init__(self, delay: int = 0, *, at_once: bool = True) -> None:
        self.at_once = at_once
        self.asked: list[Situation] = []
        self.forgotten = 0
        self._delay = delay
        self._due: int | None = None

    @property
    def busy(self) -> bool:
        return self._due is not None

    def ask(self, situation: Situation) -> None:
        assert not self.busy
        self.asked.append(situation)
        self._due = self._delay

    def answer(self) -> Advice | None:
        if self._due is None:
            return None
        if self._due > 0:
            self._due -= 1
            return None
        self._due = None
        situation = self.asked[-1]
        plan = CHECKPOINT.make_planner().plan("explore", len(self.asked))
        return Advice(situation.step, 7.0, "", plan if situation.may_change else None)

    def forget(self) -> None:
        self.forgotten += 1
        self._due = None


def make_actor(adviser: Adviser, config: ReplanningConfig = CONFIG) -> ReplanningActor:
    planner, policy = CHECKPOINT.make_planner(), CHECKPOINT.make_policy()
    actor = ReplanningActor(CHECKPOINT, planner, policy, "explore", adviser, config)
    actor.begin(0)
    return actor


def steps(actor: ReplanningActor, count: int) -> tuple[list[np.ndarray], list[Plan]]:
    actions, plans = [], []
    for observation in OBSERVATIONS[:count]:
        actions.append(actor.act(observation))
        assert actor.plan is not None
        plans.append(actor.plan)
        actor.executed(actions[-1])
        actor.rewarded(1.0)
    return actions, plans


def test_the_situation_is_considered_every_period_and_tells_what_happened() -> None:
    adviser = Adviser()
    actions, _ = steps(make_actor(adviser), 12)
    assert [situation.step for situation in adviser.asked] == [0, 5, 10]
    assert [situation.reward_sum for situation in adviser.asked] == [0.0, 5.0, 10.0]
    assert adviser.asked[0].promised is None
    last = adviser.asked[-1]
    expected = CHECKPOINT.normalizer.normalize_observation(OBSERVATIONS)
    assert np.array_equal(last.observation, expected[10])
    assert np.array_equal(last.observations, expected[:10])
    assert np.allclose(last.actions, CHECKPOINT.normalizer.normalize_action(np.array(actions[:10])))


def test_a_plan_is_taken_at_a_step_and_acted_on_in_it() -> None:
    adviser = Adviser()
    actions, plans = steps(make_actor(adviser, CONFIG.model_copy(update={"rest": 100})), 8)
    assert plans[0].step == 0
    # The first look offers one; from then on the actor rests.
    policy = CHECKPOINT.make_policy()
    policy.follow(plans[0])
    policy.change(plans[0])
    assert all(plan is plans[0] for plan in plans)
    again = [policy.act(observation) for observation in OBSERVATIONS[:8]]
    assert np.array_equal(actions, again)


def test_after_a_change_the_actor_rests() -> None:
    adviser = Adviser()
    actor = make_actor(adviser)
    _, plans = steps(actor, 25)
    changed = [0] + [i for i in range(1, 25) if plans[i] is not plans[i - 1]]
    assert changed == [0, 10, 20]
    assert [plans[i].step for i in changed] == changed
    assert actor.changes == 3
    assert [situation.may_change for situation in adviser.asked] == [True, False] * 2 + [True]


def test_an_answer_that_takes_long_is_taken_when_it_comes_and_nobody_waits_for_it() -> None:
    adviser = Adviser(delay=10, at_once=False)
    _, plans = steps(make_actor(adviser), 25)
    changed = [i for i in range(1, 25) if plans[i] is not plans[i - 1]]
    # It has come when step 11 has been executed, and is there for step 12.
    assert changed == [12]
    assert plans[12].step == 12
    # What was due meanwhile is asked as soon as there is somebody to ask.
    assert [situation.step for situation in adviser.asked] == [0, 11, 22]


def test_nobody_is_talked_to_between_an_observation_and_its_action() -> None:
    class Aside(Adviser):
        def ask(self, situation: Situation) -> None:
            assert not deciding
            super().ask(situation)

        def answer(self) -> Advice | None:
            assert not deciding
            return super().answer()

    adviser, deciding = Aside(at_once=False), False
    actor = make_actor(adviser)
    for observation in OBSERVATIONS:
        deciding = True
        action = actor.act(observation)
        deciding = False
        actor.executed(action)
    assert actor.changes > 1
    assert adviser.asked[1].step == CONFIG.period


def test_a_situation_is_the_same_whenever_it_is_asked_for() -> None:
    config = CONFIG.model_copy(update={"rest": 100})
    early, late = Adviser(at_once=True), Adviser(at_once=False)
    for adviser in (early, late):
        steps(make_actor(adviser, config), 12)
    for one, other in zip(early.asked, late.asked, strict=True):
        assert one.step == one.seed == other.step == other.seed
        assert np.array_equal(one.observation, other.observation)
        assert np.array_equal(one.observations, other.observations)


def test_without_rest_a_situation_right_after_a_change_may_change_the_plan_again() -> None:
    config = CONFIG.model_copy(update={"period": 1, "rest": 0})
    for adviser in (Adviser(), Adviser(at_once=False)):
        actor = make_actor(adviser, config)
        steps(actor, 20)
        assert all(situation.may_change for situation in adviser.asked)
        assert actor.changes >= 9


def test_a_step_that_the_policy_did_not_see_breaks_the_window() -> None:
    adviser = Adviser()
    actor = make_actor(adviser)
    steps(actor, 3)
    actor.executed(np.zeros(3))  # the safe action
    for observation in OBSERVATIONS[:2]:
        actor.executed(actor.act(observation))
    assert adviser.asked[-1].step == 5
    assert len(adviser.asked[-1].actions) == 1


def test_a_new_episode_begins_without_a_past() -> None:
    adviser = Adviser(delay=3)
    actor = make_actor(adviser)
    steps(actor, 2)
    before = adviser.forgotten
    actor.begin(1)
    assert adviser.forgotten == before + 1
    assert actor.changes == 0
    steps(actor, 1)
    assert adviser.asked[-1].step == 0
    assert adviser.asked[-1].reward_sum == 0.0
    assert len(adviser.asked[-1].actions) == 0


def test_without_step_wise_rewards_there_is_no_return_so_far() -> None:
    robot = CHECKPOINT.embodiment
    source = robot.episode_return.model_copy(update={"source": "label", "topic": None})
    labelled = replace(CHECKPOINT, embodiment=robot.model_copy(update={"episode_return": source}))
    adviser = Adviser()
    actor = ReplanningActor(
        labelled, labelled.make_planner(), labelled.make_policy(), "explore", adviser, CONFIG
    )
    actor.begin(0)
    steps(actor, 6)
    assert [situation.reward_sum for situation in adviser.asked] == [None, None]
