"""Situations considered by another process, real and warm, on a checkpoint from the disk."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.errors import ConfigurationError
from gac_ros.evaluation.threads import one_thread
from gac_ros.planning import Plan
from gac_ros.replanning.config import ReplanningConfig
from gac_ros.replanning.process import PlanningProcess
from gac_ros.replanning.replanner import Replanner
from gac_ros.replanning.situation import Advice, Situation
from gac_ros.replanning.wire import (
    decode_advice,
    decode_situation,
    encode_advice,
    encode_situation,
)
from tests.toy import untrained_checkpoint

CONFIG = ReplanningConfig(when="periodic", margin=0.0, langevin_steps=5)


def situation(steps: int = 6, **changes: object) -> Situation:
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    plan = Plan(numbers(4, 4), numbers(4, 4), "explore", 1.0, 0.1, target_return=2.0)
    base = Situation(
        step=30,
        plan=plan,
        promised=1.5,
        reward_sum=0.25,
        observation=numbers(11),
        observations=numbers(steps, 11),
        actions=numbers(steps, 3),
        may_change=True,
        seed=30,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("steps", [0, 6])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_sent_arrives(steps: int, known: bool) -> None:
    sent = situation(steps)
    if not known:
        plan = replace(sent.plan, target_return=None)
        sent = replace(sent, plan=plan, promised=None, reward_sum=None, may_change=False)
    config = untrained_checkpoint("hopper").model.config
    received = decode_situation(encode_situation(sent), config)
    for name in ("step", "promised", "reward_sum", "may_change", "seed"):
        assert getattr(received, name) == getattr(sent, name)
    for name in ("observation", "observations", "actions"):
        assert np.array_equal(getattr(received, name), getattr(sent, name))
    assert np.array_equal(received.plan.z0, sent.plan.z0)
    assert np.array_equal(received.plan.z, sent.plan.z)
    assert (received.plan.mode, received.plan.target_return) == (
        sent.plan.mode,
        sent.plan.target_return,
    )
    for plan in (sent.plan, None):
        advice = Advice(30, 1.25, "shortfall", plan)
        back = decode_advice(encode_advice(advice), sent)
        assert (back.step, back.outlook, back.surprise) == (30, 1.25, "shortfall")
        assert (back.plan is None) == (plan is None)
        if back.plan is not None and plan is not None:
            assert back.plan.to_json() == plan.to_json()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("check point")
    return save_checkpoint(untrained_checkpoint("hopper"), folder / "one")


@pytest.fixture(scope="module")
def process(saved: Path) -> Iterator[PlanningProcess]:
    with PlanningProcess(saved, "cpu", CONFIG) as process:
        process.wait_until_ready()
        yield process


def wait(process: PlanningProcess) -> Advice:
    """What a control loop does at every tick, until the answer is there."""
    deadline = time.monotonic() + 180.0
    while time.monotonic() < deadline:
        advice = process.answer()
        if advice is not None or process.failure:
            break
        time.sleep(0.001)
    assert advice is not None, process.failure
    return advice


def test_its_advice_is_that_of_this_process(process: PlanningProcess, saved: Path) -> None:
    with one_thread():
        expected = Replanner(load_checkpoint(saved), CONFIG).consider(situation())
        process.ask(situation())
        assert process.busy
        advice = wait(process)
    assert not process.busy
    assert process.answer() is None
    assert expected.plan is not None
    assert advice.plan is not None
    assert advice.outlook == expected.outlook
    assert advice.plan.to_json() == expected.plan.to_json()


def test_the_answer_for_an_episode_that_is_over_is_dropped(process: PlanningProcess) -> None:
    process.ask(situation())
    process.forget()
    while process.busy:
        assert process.answer() is None
        time.sleep(0.001)  # on a single processor it would never have its turn
    process.ask(situation(step=31))
    assert wait(process).step == 31


def test_it_takes_only_what_nobody_else_wants_of_the_processors(process: PlanningProcess) -> None:
    threads = list(Path(f"/proc/{process.pid}/task").iterdir())
    assert threads
    assert {os.sched_getscheduler(int(thread.name)) for thread in threads} == {os.SCHED_IDLE}
    if sys.version_info >= (3, 11):
        assert os.getsid(process.pid) == os.getsid(0)  # only there does idle mean to give way
    assert os.getpgid(process.pid) != os.getpgid(0)  # a terminal's Ctrl-C does not reach it


def test_its_own_end_is_told_and_control_goes_on(process: PlanningProcess) -> None:
    """The module's last use of it."""
    process._process.kill()
    process._process.wait()
    process.ask(situation())
    assert process.answer() is None
    assert "the planning process is gone" in process.failure
    assert process.busy
    assert process.answer() is None


def test_it_ends_with_the_one_who_asks(saved: Path) -> None:
    process = PlanningProcess(saved, "cpu", CONFIG)
    process.wait_until_ready()
    process._socket.close()  # as the system does when this process is killed
    assert process._process.wait(timeout=180.0) == 0
    process.close()


def test_a_process_that_cannot_start_is_told_with_the_remedy(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        PlanningProcess(tmp_path / "none", "cpu", CONFIG) as process,
        pytest.raises(ConfigurationError, match=r"replanning\.when"),
    ):
        process.wait_until_ready()
    assert "holds no checkpoint" in capfd.readouterr().err
