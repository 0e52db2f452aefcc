"""Faults block the policy, are met as the embodiment says, and end as they should."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gac_ros.control import ControlLoop, Decision, Source
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.errors import EmbodimentError
from gac_ros.faults import Fault, Reaction
from gac_ros.messages import FLOAT64_MULTI_ARRAY, float64_multi_array, joint_state
from tests.message_sequences import robot as leg

PERIOD = 0.05
SAFE = [0.25, -0.1]


def slider(*, interface: str = "position", unit: str = "m", **safety: Any) -> Embodiment:
    """One joint, whose safe command is 0.5; one number is observed, for 0.2 s."""
    return embodiment_from_dict(
        {
            "name": "slider",
            "control_rate": 1.0 / PERIOD,
            "episode_length": 50,
            "observation": [
                {
                    "topic": "state",
                    "type": FLOAT64_MULTI_ARRAY,
                    "max_age": 0.2,
                    "fields": [{"select": "data.0", "unit": "m"}],
                }
            ],
            "action": {
                "topic": "commands",
                "type": FLOAT64_MULTI_ARRAY,
                "interface": interface,
                "fields": [
                    {
                        "joint": "slider",
                        "unit": unit,
                        "limits": [-1.0, 1.0],
                        "rate_limit": 40.0,
                        "safe": 0.5,
                    }
                ],
            },
            "return": {"source": "label"},
            "safety": safety,
        },
        origin="test",
    )


class Drive:
    """A control loop whose policy echoes the observation, and its time."""

    def __init__(self, embodiment: Embodiment, *, check_age: bool = True) -> None:
        self.loop = ControlLoop(embodiment, self, check_age=check_age)
        self.loop.begin()
        self.now = 0.0
        self.asked = 0

    def begin(self, seed: int) -> None:
        pass

    def act(self, observation: np.ndarray) -> np.ndarray:
        self.asked += 1
        return observation

    def step(self, *value: float, wait: float = PERIOD) -> Decision:
        """Time passes; with a value, a message comes."""
        self.now += wait
        if value:
            self.loop.receive("state", float64_multi_array(value), self.now)
        return self.loop.decide(self.now)


def faults(**reactions: Any) -> dict[str, Any]:
    return {
        name: {"reaction": reaction} if isinstance(reaction, str) else reaction
        for name, reaction in reactions.items()
    }


def test_inputs_that_grow_too_old_while_the_policy_thinks_stop_it() -> None:
    drive = Drive(slider())
    drive.loop.receive("state", float64_multi_array([0.3]), 1.0)
    in_time = drive.loop.settle(drive.loop.propose(1.1, lambda: 1.15))
    assert (in_time.source, in_time.action[0]) == (Source.POLICY, 0.3)
    late = drive.loop.settle(drive.loop.propose(1.1, lambda: 1.25))
    assert (late.source, late.action[0]) == (Source.SAFE, 0.5)
    (event,) = late.events
    assert (event.fault, event.raised) == (Fault.OBSERVATION_STALE, True)
    assert "no recent message on state" in late.reason


def test_what_another_thread_notices_while_the_policy_thinks_stops_it() -> None:
    drive = Drive(slider(faults=faults(duplicate_publisher="hold")))
    assert drive.step(0.3).action[0] == 0.3
    drive.loop.receive("state", float64_multi_array([0.7]), drive.now)
    proposal = drive.loop.propose(drive.now)
    drive.loop.safety.raise_fault(Fault.DUPLICATE_PUBLISHER, "somebody", drive.now, lasting=True)
    decision = drive.loop.settle(proposal)
    # The last command that was sent is held, not the one that was only proposed.
    assert (decision.source, decision.action[0]) == (Source.SAFE, 0.3)


@pytest.mark.parametrize(
    ("reaction", "expected"),
    [("hold", [0.3, 0.3]), ("zero", [0, 0]), ("safe", [0.5, 0.5]), ("ramp", [0.4, 0.5])],
)
def test_a_fault_is_answered_as_the_embodiment_says_until_its_cause_has_gone(
    reaction: str, expected: list[float]
) -> None:
    drive = Drive(slider(faults=faults(observation_not_finite=reaction)))
    assert drive.step(0.3).source is Source.POLICY
    first, second = drive.step(np.nan), drive.step(np.nan)
    assert [first.action[0], second.action[0]] == pytest.approx(expected)
    assert first.source is second.source is Source.SAFE
    assert drive.asked == 1
    (event,) = first.events
    assert (event.fault, event.raised) == (Fault.OBSERVATION_NOT_FINITE, True)
    assert event.active == (Fault.OBSERVATION_NOT_FINITE,)
    assert second.events == ()
    again = drive.step(0.3)
    assert (again.source, again.action[0]) == (Source.POLICY, 0.3)
    (event,) = again.events
    assert (event.raised, event.active) == (False, ())
    assert json.loads(event.to_json())["event"] == "cleared"


def test_a_latched_fault_outlives_its_cause_until_it_is_reset() -> None:
    drive = Drive(slider(faults=faults(observation_not_finite={"latched": True})))
    drive.step(0.3)
    drive.step(np.nan)
    assert drive.step(0.3).source is Source.SAFE
    assert drive.loop.begin() == ()  # not even a new episode ends it
    assert drive.step(0.3).reason == "the observation is not finite"
    assert [event.fault for event in drive.loop.safety.reset()] == [Fault.OBSERVATION_NOT_FINITE]
    assert drive.step(0.3).source is Source.POLICY


def test_a_fault_may_have_to_be_gone_for_a_while() -> None:
    drive = Drive(slider(faults=faults(observation_not_finite={"clear_after": 0.12})))
    drive.step(0.3)
    drive.step(np.nan)
    sources = [drive.step(0.3).source for _ in range(4)]
    assert sources == [Source.SAFE] * 3 + [Source.POLICY]


def test_a_cause_of_one_moment_blocks_the_next_decision_at_least() -> None:
    drive = Drive(slider(faults=faults(clock_jumped={"clear_after": 0.0})))
    drive.step(0.3)
    drive.loop.safety.raise_fault(Fault.CLOCK_JUMPED, "by 5 s", drive.now)
    assert drive.step(0.3).reason == "by 5 s"
    assert drive.step(0.3).source is Source.POLICY


def test_of_several_faults_the_severest_reaction_wins() -> None:
    drive = Drive(slider(faults=faults(observation_not_finite="hold", duplicate_publisher="zero")))
    drive.step(0.3)
    assert drive.step(np.nan).action[0] == 0.3
    drive.loop.safety.raise_fault(Fault.DUPLICATE_PUBLISHER, "a stranger", drive.now, lasting=True)
    decision = drive.step(np.nan)
    assert (decision.action[0], decision.reason) == (0.0, "a stranger")
    drive.loop.safety.end_cause(Fault.DUPLICATE_PUBLISHER, drive.now)
    assert drive.step(np.nan).reason == "the observation is not finite"


def test_a_policy_that_fails_is_a_fault_and_its_error_is_kept() -> None:
    drive = Drive(slider())

    def fail(_: Any) -> Any:
        raise ArithmeticError("the matrix is singular")

    drive.step(0.3)
    drive.act = fail  # type: ignore[method-assign]
    decision = drive.step(0.3)
    assert (decision.action[0], decision.gives_up) == (0.5, True)
    assert decision.reason == "ArithmeticError: the matrix is singular"
    assert isinstance(decision.error, ArithmeticError)


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ([0.1, 0.2], Fault.ACTION_MALFORMED),
        ([[0.1]], Fault.ACTION_MALFORMED),
        ([np.inf], Fault.ACTION_NOT_FINITE),
        ([np.nan], Fault.ACTION_NOT_FINITE),
        ("text", Fault.POLICY_FAILED),
    ],
)
def test_what_is_no_action_is_replaced_by_the_safe_one(answer: Any, fault: Fault) -> None:
    drive = Drive(slider())
    drive.act = lambda _: answer  # type: ignore[method-assign]
    decision = drive.step(0.3)
    assert [event.fault for event in decision.events] == [fault]
    assert decision.action.tolist() == [0.5]


def test_limits_only_limit_unless_the_embodiment_makes_faults_of_them() -> None:
    drive = Drive(slider())
    assert drive.step(9.0).action[0] == 1.0
    assert drive.loop.safety.limited == 1
    assert drive.loop.safety.active == ()

    drive = Drive(slider(faults=faults(value_limit="hold")))
    drive.step(0.3)
    decision = drive.step(9.0)
    assert (decision.action[0], decision.source) == (0.3, Source.SAFE)
    assert decision.events[0].fault is Fault.VALUE_LIMIT
    assert drive.step(0.4).source is Source.POLICY


def test_an_old_plan_and_old_input_are_faults_but_not_in_lock_step() -> None:
    contract = slider(max_plan_age=0.3)
    for check_age in (True, False):
        drive = Drive(contract, check_age=check_age)
        drive.loop.planned(0.0)
        assert drive.step(0.3).source is Source.POLICY
        stale = drive.step(wait=0.21)
        old = drive.step(0.3, wait=0.1)
        assert (stale.source is Source.SAFE) == check_age
        assert (old.source is Source.SAFE) == check_age
        if check_age:
            assert stale.events[0].fault is Fault.OBSERVATION_STALE
            assert Fault.PLAN_STALE in [event.fault for event in old.events]
            drive.loop.planned(drive.now)
            assert drive.step(0.3).source is Source.POLICY


@pytest.mark.parametrize("lateness", [0.5, -0.5])
def test_a_stamp_that_is_old_or_of_the_future_is_a_fault_of_its_own(lateness: float) -> None:
    contract = leg(None)
    drive = Drive(contract)
    now = 10**9

    def receive(stamp: int) -> Decision:
        state = joint_state(stamp, ["hip", "knee"], position=[0.0, 0.0], velocity=[0.0, 0.0])
        drive.loop.receive("joint_states", state, drive.now, now)
        drive.loop.receive("scan", float64_multi_array([0.0, 0.0]), drive.now, now)
        return drive.loop.decide(drive.now)

    drive.act = lambda _: [0.2, 0.0]  # type: ignore[method-assign]
    assert receive(now).source is Source.POLICY
    decision = receive(now - round(lateness * 1e9))
    assert [event.fault for event in decision.events] == [Fault.OBSERVATION_STAMP]
    assert decision.action.tolist() == SAFE
    assert receive(now).source is Source.POLICY


def test_after_a_malformed_message_the_policy_waits_for_a_good_one() -> None:
    drive = Drive(slider())
    drive.step(0.3)
    assert drive.step().source is Source.POLICY  # by the timer: the last one is recent enough
    drive.loop.receive("state", float64_multi_array([]), drive.now)
    assert drive.step().events[0].fault is Fault.OBSERVATION_MALFORMED
    assert drive.step().source is Source.SAFE
    assert drive.step(0.3).source is Source.POLICY
    drive.loop.reject("state", "no message")
    assert drive.step().reason == "no message"
    assert drive.step().source is Source.SAFE
    assert drive.step(0.3).source is Source.POLICY


def test_another_thread_s_fault_stops_an_action_that_is_being_thought_out() -> None:
    drive = Drive(slider())

    def slow(observation: np.ndarray) -> np.ndarray:
        drive.loop.safety.raise_fault(Fault.DEADLINE_MISSED, "it stands still", drive.now)
        return observation

    drive.act = slow  # type: ignore[method-assign]
    decision = drive.step(0.3)
    assert (decision.source, decision.reason) == (Source.SAFE, "it stands still")


@pytest.mark.parametrize(
    ("safety", "problem"),
    [
        ({"faults": {"gremlins": {}}}, "faults.gremlins"),
        ({"faults": {"plan_stale": {"reaction": "limit"}}}, "plan_stale: there is nothing to"),
        ({"faults": {"plan_stale": {"latched": True, "clear_after": 1.0}}}, "'clear_after'"),
        ({"faults": {"emergency_stop": {"latched": False}}}, "always latched"),
        ({"max_stamp_age": {"state": 0.1}}, "max_stamp_age of 'state'"),
        ({"max_stamp_age": {"odom": 0.1}}, "max_stamp_age of 'odom'"),
        ({"max_stamp_age": {"state": 0.0}}, "must be above 0"),
        ({"ramp_time": 0.0}, "ramp_time"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(safety: dict[str, Any], problem: str) -> None:
    with pytest.raises(EmbodimentError, match=problem):
        slider(**safety)


def test_a_robot_that_would_move_on_cannot_be_held() -> None:
    with pytest.raises(EmbodimentError, match="keeps a robot moving"):
        slider(interface="effort", unit="N", faults=faults(plan_stale="hold"))
    assert slider(interface="effort", unit="N", faults=faults(plan_stale="zero"))


def test_how_faults_are_met_is_no_matter_of_the_policy() -> None:
    plain, careful = slider(), slider(faults=faults(plan_stale="zero"), max_plan_age=2.0)
    assert careful.differences(plain) == []
    assert careful.digest == plain.digest
    assert embodiment_from_dict(careful.to_dict(), origin="again") == careful
    reactions = careful.safety.reactions()
    assert reactions == {Reaction.LIMIT, Reaction.SAFE, Reaction.ZERO, Reaction.DEACTIVATE}
