"""What a simulated robot does with time, commands and episodes. No ROS, no wall clock.

The ROS node drives a `Simulation` and sends what comes out of it; tests drive it directly.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gac_ros.messages import NANOSECONDS
from gac_ros.sim.robot import SimulatedRobot


class Output(Protocol):
    """Where a simulation's messages go, in the order of the calls."""

    def reward(self, value: float) -> None:
        """The reward of the step just made."""

    def clock(self, stamp: int) -> None:
        """Simulated time since the node's start, in nanoseconds."""

    def observation(self, messages: dict[str, Any]) -> None:
        """Message of every observation channel, by topic."""

    def episode_end(self, reason: str) -> None:
        """`terminated` or `truncated`; only the final observation comes before the next reset."""


class Simulation:
    """A robot that makes steps, episode by episode.

    An episode: `reset`, then `announce` sends its first observation, then each step sends the
    reward, the clock and the next observation; the last step sends the episode's end before the
    final observation, and the robot holds still until the next reset.

    Simulated time never goes back: a reset takes one control period.

    In lock-step each `command` makes one step. Otherwise `tick` does, once a control period, with
    the newest command, or the safe one when `command_timeout` seconds of simulated time have
    passed without any. With `wait_for_command` the robot stays in its start state, as on a stand,
    observed but without physics, until the first command of the episode.

    A stalled robot does nothing by itself; `go_on` then has it follow the newest command.
    """

    def __init__(
        self,
        robot: SimulatedRobot,
        output: Output,
        *,
        lock_step: bool,
        wait_for_command: bool = True,
        command_timeout: float = 0.0,
    ) -> None:
        self.robot = robot
        self.lock_step = lock_step
        self.wait_for_command = wait_for_command
        self.command_timeout = command_timeout
        self.paused = True
        self.over = False
        self.steps = 0
        self.clock_offset = 0  # nanoseconds; a fault may move it
        self._output = output
        self._embodiment = robot.embodiment
        self._periods = 0  # of simulated time since the start
        self._announced = False
        self._command: NDArray[np.float64] | None = None
        self._steps_without_command = 0
        self._stalled = False
        self._unanswered = False  # whether a command of lock-step waits for the stall's end

    @property
    def stamp(self) -> int:
        """Simulated time since the start, in nanoseconds."""
        passed = round(self._periods * NANOSECONDS / self._embodiment.control_rate)
        return max(0, passed + self.clock_offset)

    @property
    def announcement_due(self) -> bool:
        """Whether the current observation is still to be sent before anything else happens."""
        return not (self.paused or self.over or self._announced)

    @property
    def awaiting_command(self) -> bool:
        """Whether a lock-step observation waits for its answer."""
        return self.lock_step and self._announced and not (self.paused or self.over)

    def reset(self, seed: int) -> None:
        """Start a new episode in the state of this seed; it stays paused or unpaused."""
        self.robot.reset(seed)
        self._periods += 1
        self.steps = 0
        self.over = False
        self._announced = False
        self._command = None
        self._unanswered = False

    def pause(self) -> None:
        """Stop time; commands are ignored."""
        self.paused = True
        self._unanswered = False

    def resume(self) -> None:
        """Let time go on; the current observation is to be announced (again)."""
        if self.paused:
            self.paused = False
            self._announced = False

    def stall(self) -> None:
        """Stand still and say nothing until `go_on`."""
        self._stalled = True

    def go_on(self) -> None:
        """End a stall; lock-step makes the step that was commanded meanwhile."""
        self._stalled = False
        if self._unanswered and self._command is not None:
            self._unanswered = False
            self._advance(self._command)

    def announce(self) -> None:
        """Send the current observation, without a step."""
        self._announced = True
        self._observe()

    def command(self, action: NDArray[np.float64]) -> bool:
        """Take a command, shape (A,); False when it is ignored because none is wanted now."""
        if self.paused or self.over or not self._announced:
            return False
        self._command = np.clip(action, self._embodiment.action_low, self._embodiment.action_high)
        self._steps_without_command = 0
        if self._stalled:
            self._unanswered = self.lock_step
        elif self.lock_step:
            self._advance(self._command)
        return True

    def tick(self) -> None:
        """Let one control period pass (not in lock-step)."""
        if self.paused or self.over or self._stalled:
            return
        if self._command is None and self.wait_for_command:
            self._periods += 1
            self._observe()
            return
        self._advance(self._held_command())

    def step(self) -> None:
        """Make one step whether paused or not, with the newest command or the safe one."""
        self._advance(self._held_command())

    def _held_command(self) -> NDArray[np.float64]:
        """The newest command, or the safe one when there is none or it is too old."""
        if self._command is None:
            return self._embodiment.safe_action
        self._steps_without_command += 1
        silence = (self._steps_without_command - 1) * self._embodiment.control_period
        if self.command_timeout > 0.0 and silence > self.command_timeout:
            return self._embodiment.safe_action
        return self._command

    def _advance(self, action: NDArray[np.float64]) -> None:
        outcome = self.robot.step(action)
        self.steps += 1
        self._periods += 1
        self._output.reward(outcome.reward)
        if outcome.terminated or self.steps >= self._embodiment.episode_length:
            self.over = True
            self._output.episode_end("terminated" if outcome.terminated else "truncated")
        # Last, so that nobody takes an episode's final observation for one that wants an answer.
        self._observe()

    def _observe(self) -> None:
        # The clock first, so that a node on simulated time never sees a stamp of the future.
        self._output.clock(self.stamp)
        self._output.observation(self.robot.messages(self.stamp))
