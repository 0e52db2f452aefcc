"""The control rate laid over commands of another."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gac_ros.buffer.importing.steps import at_rate, each_command

MS = 1_000_000
PERIOD = 20 * MS


def commands(rate: float, seconds: float = 10.0, jitter: float = 0.002) -> list[int]:
    rng = np.random.default_rng(0)
    times = np.arange(0.0, seconds, 1.0 / rate)
    return sorted((1e9 * (1.0 + times + rng.normal(0.0, jitter, len(times)))).astype(int).tolist())


def test_commands_at_about_the_control_rate_are_a_step_each() -> None:
    for rate in (49.5, 50.0, 50.5):
        times = commands(rate)
        steps = at_rate(times, PERIOD)
        assert [step.command for step in steps] == list(range(len(times)))
        assert [step.time for step in steps] == times


@pytest.mark.parametrize("rate", [75.0, 100.0, 200.0])
def test_of_faster_commands_some_are_left_out(rate: float) -> None:
    steps = at_rate(commands(rate), PERIOD)

    assert len(steps) == pytest.approx(500, abs=2)
    assert not any(step.held for step in steps)


@pytest.mark.parametrize("rate", [10.0, 25.0])
def test_slower_commands_are_held(rate: float) -> None:
    times = commands(rate)
    steps = at_rate(times, PERIOD)

    assert {step.command for step in steps} == set(range(len(times)))
    assert len(steps) == pytest.approx(50 * (times[-1] - times[0]) / 1e9, abs=2)


@given(gaps=st.lists(st.integers(0, 5 * PERIOD), max_size=60))
def test_a_step_is_never_before_its_command_nor_before_the_last_step(gaps: list[int]) -> None:
    times = np.cumsum(gaps).tolist()
    steps = at_rate(times, PERIOD)

    assert all(times[step.command] <= step.time for step in steps)
    assert all(not step.held or times[step.command] < step.time for step in steps)
    pairs = list(pairwise(steps))
    assert all(earlier.time < later.time for earlier, later in pairs)
    assert all(earlier.command <= later.command for earlier, later in pairs)
    for step in steps:
        # The command in force is the newest there was.
        later = [time for time in times[step.command + 1 :] if time <= step.time]
        assert not later or (not step.held and later[-1] == step.time)


def test_each_command_can_be_a_step() -> None:
    times = [0, 1, 500, 501]
    assert [(step.time, step.held) for step in each_command(times)] == [(t, False) for t in times]
