"""Episodes, time and commands of a simulation, without ROS."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gac_ros.embodiment import find_embodiment
from gac_ros.messages import float64_multi_array
from gac_ros.sim.robot import StepOutcome
from gac_ros.sim.simulation import Simulation

EMBODIMENT = find_embodiment("pointmaze_umaze").model_copy(update={"episode_length": 3})
PERIOD = 10_000_000  # ns
LEFT = np.array([-1.0, 0.0])


class Recorder:
    """A robot and an output that write down what happens."""

    def __init__(self, terminates_at: int | None = None) -> None:
        self.embodiment = EMBODIMENT
        self.events: list[Any] = []
        self.time = 0.0
        self._terminates_at = terminates_at
        self._steps = 0

    def reset(self, seed: int) -> None:
        self.events.append(("reset", seed))
        self._steps = 0

    def step(self, action: np.ndarray) -> StepOutcome:
        self.events.append(("step", *action.tolist()))
        self._steps += 1
        return StepOutcome(0.5, self._steps == self._terminates_at)

    def messages(self, stamp: int) -> dict[str, Any]:
        return {"odom": float64_multi_array([stamp])}

    def reward(self, value: float) -> None:
        self.events.append(("reward", value))

    def clock(self, stamp: int) -> None:
        self.events.append(("clock", stamp / PERIOD))

    def observation(self, messages: dict[str, Any]) -> None:
        self.events.append(("observation", messages["odom"].data[0] / PERIOD))

    def episode_end(self, reason: str) -> None:
        self.events.append(("end", reason))

    def taken(self) -> list[Any]:
        events, self.events = self.events, []
        return events


def started(recorder: Recorder, **options: Any) -> Simulation:
    """A simulation just after its first observation."""
    simulation = Simulation(recorder, recorder, **options)
    simulation.reset(7)
    simulation.resume()
    simulation.announce()
    assert recorder.taken() == [("reset", 7), ("clock", 1), ("observation", 1)]
    return simulation


def test_a_lock_step_command_makes_one_step_with_its_messages_in_order() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    assert simulation.awaiting_command
    assert simulation.command(LEFT)
    assert recorder.taken() == [
        ("step", -1.0, 0.0),
        ("reward", 0.5),
        ("clock", 2),
        ("observation", 2),
    ]


@pytest.mark.parametrize(("terminates_at", "reason"), [(None, "truncated"), (3, "terminated")])
def test_the_end_comes_before_the_final_observation_and_then_nothing_moves(
    terminates_at: int | None, reason: str
) -> None:
    recorder = Recorder(terminates_at)
    simulation = started(recorder, lock_step=True)
    for _ in range(3):
        simulation.command(LEFT)
    assert recorder.taken()[-3:] == [("end", reason), ("clock", 4), ("observation", 4)]
    assert simulation.over
    assert not simulation.command(LEFT)
    simulation.tick()
    assert recorder.taken() == []


def test_an_early_terminal_state_ends_the_episode() -> None:
    recorder = Recorder(terminates_at=1)
    simulation = started(recorder, lock_step=True)
    simulation.command(LEFT)
    assert ("end", "terminated") in recorder.taken()


def test_time_never_goes_back_over_resets() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.command(LEFT)
    simulation.reset(8)
    simulation.announce()
    simulation.command(LEFT)
    clocks = [event[1] for event in recorder.taken() if event[0] == "clock"]
    assert clocks == [2, 3, 4]
    assert simulation.steps == 1


@pytest.mark.parametrize("lock_step", [True, False])
def test_commands_that_nobody_waits_for_are_ignored(lock_step: bool) -> None:
    recorder = Recorder()
    simulation = Simulation(recorder, recorder, lock_step=lock_step)
    simulation.reset(0)
    assert not simulation.command(LEFT)  # paused
    simulation.resume()
    assert not simulation.command(LEFT)  # before the first observation
    simulation.announce()
    simulation.pause()
    assert not simulation.command(LEFT)  # paused again
    simulation.tick()
    assert not [event for event in recorder.taken() if event[0] == "step"]


def test_resuming_announces_the_current_observation_again_without_a_step() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.command(LEFT)
    recorder.taken()
    simulation.pause()
    assert not simulation.announcement_due
    simulation.resume()
    assert simulation.announcement_due
    simulation.announce()
    assert recorder.taken() == [("clock", 2), ("observation", 2)]
    simulation.resume()  # it is not paused: nothing to announce
    assert not simulation.announcement_due


def test_commands_are_clipped_to_the_embodiment_s_limits() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.command(np.array([5.0, -0.25]))
    assert recorder.taken()[0] == ("step", 1.0, -0.25)


def test_in_real_time_it_waits_in_its_start_state_for_the_first_command() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=False)
    simulation.tick()
    simulation.tick()
    assert recorder.taken() == [
        ("clock", 2),
        ("observation", 2),
        ("clock", 3),
        ("observation", 3),
    ]
    assert simulation.command(LEFT)
    assert recorder.taken() == []  # time, not the command, makes the step
    simulation.tick()
    simulation.tick()
    assert [event for event in recorder.taken() if event[0] == "step"] == [("step", -1.0, 0.0)] * 2


def test_without_waiting_it_moves_with_the_safe_action() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=False, wait_for_command=False)
    simulation.tick()
    assert recorder.taken()[0] == ("step", 0.0, 0.0)


def test_when_commands_stop_the_safe_action_takes_over_after_the_timeout() -> None:
    recorder = Recorder()
    recorder.embodiment = EMBODIMENT.model_copy(update={"episode_length": 100})
    simulation = started(recorder, lock_step=False, command_timeout=0.025)
    simulation.command(LEFT)
    for _ in range(5):
        simulation.tick()
    steps = [event[1] for event in recorder.taken() if event[0] == "step"]
    assert steps == [-1.0, -1.0, -1.0, 0.0, 0.0]
    simulation.command(LEFT)
    simulation.tick()
    assert recorder.taken()[0] == ("step", -1.0, 0.0)


def test_a_timeout_of_zero_keeps_the_last_command() -> None:
    recorder = Recorder()
    recorder.embodiment = EMBODIMENT.model_copy(update={"episode_length": 100})
    simulation = started(recorder, lock_step=False, command_timeout=0.0)
    simulation.command(LEFT)
    for _ in range(90):
        simulation.tick()
    assert {event[1] for event in recorder.taken() if event[0] == "step"} == {-1.0}


def test_a_reset_forgets_the_last_command() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=False)
    simulation.command(LEFT)
    simulation.reset(8)
    simulation.announce()
    simulation.tick()
    assert not [event for event in recorder.taken() if event[0] == "step"]


def test_a_single_step_works_while_paused() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.pause()
    simulation.step()
    assert recorder.taken()[0] == ("step", 0.0, 0.0)


def test_a_stalled_lock_step_answers_only_the_newest_command_and_only_when_it_goes_on() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.stall()
    simulation.command(np.zeros(2))
    simulation.command(LEFT)
    assert recorder.taken() == []
    simulation.go_on()
    assert recorder.taken() == [
        ("step", -1.0, 0.0),
        ("reward", 0.5),
        ("clock", 2),
        ("observation", 2),
    ]
    simulation.go_on()
    assert recorder.taken() == []


def test_a_stalled_robot_in_real_time_moves_by_the_newest_command_afterwards() -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=False)
    simulation.command(np.zeros(2))
    simulation.stall()
    simulation.command(LEFT)
    simulation.tick()
    assert recorder.taken() == []
    simulation.go_on()
    assert recorder.taken() == []
    simulation.tick()
    assert recorder.taken()[0] == ("step", -1.0, 0.0)


@pytest.mark.parametrize("forget", ["reset", "pause"])
def test_a_command_of_a_stall_is_forgotten_by_a_reset_and_by_a_pause(forget: str) -> None:
    recorder = Recorder()
    simulation = started(recorder, lock_step=True)
    simulation.stall()
    simulation.command(LEFT)
    simulation.reset(8) if forget == "reset" else simulation.pause()
    simulation.go_on()
    assert not [event for event in recorder.taken() if event[0] == "step"]


def test_stamps_do_not_drift_at_rates_without_a_whole_number_of_nanoseconds() -> None:
    recorder = Recorder()
    recorder.embodiment = EMBODIMENT.model_copy(update={"control_rate": 60.0})
    simulation = Simulation(recorder, recorder, lock_step=False)
    for seed in range(60 * 100):
        simulation.reset(seed)
    assert simulation.stamp == 100 * 1_000_000_000
