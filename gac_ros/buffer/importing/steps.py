"""Which commands of a recording are the steps of an episode: the control rate laid over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# How far the grid of steps follows the commands' phase at each step. Without it, commands that
# come a little faster or slower than the control rate would, while they drift across the border
# between two steps, give two to one step and none to the next, again and again.
_FOLLOW = 0.1


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        time: log time at which its observation is taken, nanoseconds: that of its command, or,
            while a command is held, where the next one would have been.
        command: index of the command that was in force, which is never later than `time`.
        held: whether an earlier step had that command already.
    """

    time: int
    command: int
    held: bool = False


def each_command(commands: Sequence[int]) -> list[Step]:
    """A step for every command, whatever the rate.

    Args:
        commands: log times, ascending, nanoseconds.
    """
    return [Step(time, index) for index, time in enumerate(commands)]


def at_rate(commands: Sequence[int], period: int) -> list[Step]:
    """Steps at the control rate, from the first command to the last.

    Each step takes the command nearest to its place in the grid, within half a period; where
    commands come faster, the others are left out; where they come slower, or pause, the last one
    is held.

    Args:
        commands: log times, ascending, nanoseconds.
        period: time between two steps, nanoseconds.
    """
    steps: list[Step] = []
    half = period / 2
    place = float(commands[0]) if commands else 0.0
    used = -1
    while used < len(commands) - 1:
        chosen, index = None, used + 1
        while index < len(commands) and commands[index] <= place + half:
            better = chosen is None or abs(commands[index] - place) < abs(commands[chosen] - place)
            chosen = index if better else chosen
            index += 1
        if chosen is None:
            steps.append(Step(math.floor(place), used, held=True))
            place += period
            continue
        # Those that were passed over, later than the chosen one too, belong to no step.
        used = index - 1
        steps.append(Step(commands[chosen], chosen))
        place += period + _FOLLOW * (commands[chosen] - place)
    return steps
