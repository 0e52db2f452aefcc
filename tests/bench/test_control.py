"""The measurement of decisions compares ways to make the very same action."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gac_ros.bench.control import (
    HISTORY_STEPS,
    POLICY,
    REFERENCE,
    WINDOW,
    DecisionReport,
    Recompute,
    copy_rate,
    count_copies,
    history_name,
    measure_decisions,
    policy_name,
    touched_bytes,
)
from gac_ros.bench.control_tables import decision_table
from gac_ros.model.config import ModelConfig
from gac_ros.model.decoding import FoldedDecoder
from gac_ros.model.gac import GacModel


def tiny(**changes: object) -> ModelConfig:
    sizes = {
        "observation_size": 3,
        "action_size": 2,
        "episode_length": 1000,
        "width": 8,
        "heads": 2,
        "layers": 2,
        "context": 4,
        "plan_token_size": 4,
    }
    return ModelConfig.model_validate({**sizes, **changes})


@pytest.fixture(scope="module")
def report() -> DecisionReport:
    return measure_decisions(tiny(layers=1, heads=1), repeats=1)


def test_every_way_makes_the_action_that_the_policy_makes() -> None:
    torch.manual_seed(0)
    model = GacModel(tiny()).eval().requires_grad_(False)
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4, 4)).astype(np.float32)
    observations = rng.normal(size=(HISTORY_STEPS[-1], 3)).astype(np.float32)
    decoder = FoldedDecoder(model.generator)
    decoder.start(z)
    actions = [decoder.step(observation) for observation in observations]
    again = Recompute(model, z, observations)
    assert np.allclose(again.window(), actions[HISTORY_STEPS[0] - 1], atol=1e-5)
    for length in HISTORY_STEPS:
        assert np.allclose(again.history(length)(), actions[length - 1], atol=1e-5)


def test_every_way_is_timed_in_every_round(report: DecisionReport) -> None:
    names = {entry.name for entry in report.times}
    assert {POLICY, REFERENCE, WINDOW} <= names
    assert {history_name(step) for step in HISTORY_STEPS} <= names
    assert {policy_name(step) for step in HISTORY_STEPS} <= names
    assert all(entry.ratio.count == 1 for entry in report.times)
    assert report.floor_microseconds == pytest.approx(
        1e6 * report.weight_bytes / report.copy_bytes_per_second
    )


def test_the_goals_are_those_of_the_issue(report: DecisionReport) -> None:
    slow = report.model_copy(update={"floor_microseconds": 100.0})
    quick = report.model_copy(update={"floor_microseconds": 1.0})
    assert [goal.goal for goal in slow.goals()] == ["at most 300", "at most 1.1", "at least 50"]
    assert quick.goals()[0].goal == "at most 150"


def test_what_a_plan_merges_is_not_counted_twice() -> None:
    one, more = (GacModel(tiny(plan_tokens=tokens)) for tokens in (1, 3))
    per_token = 2 * 2 * 2 * 8 * 4  # keys and values, layers, heads, width, bytes
    assert touched_bytes(more) - touched_bytes(one) == 2 * per_token


def test_memory_copies_have_a_rate() -> None:
    assert copy_rate(repeats=1) > 0.0


def test_only_copies_between_host_and_device_are_counted() -> None:
    copies = ["Memcpy HtoD (Pageable -> Device)", "Memcpy DtoH (Device -> Pinned)"]
    others = ["Memcpy DtoD (Device -> Device)", "cudaMemcpyAsync", "Memset (Device)", "gemv"]
    assert count_copies([*copies, *others, *copies]) == 4


def test_copies_and_the_gpus_name_are_told_where_there_is_one(report: DecisionReport) -> None:
    assert report.copies is report.device is None
    table = decision_table(report.model_copy(update={"copies": 2.0, "device": "a GPU"}))
    assert table.title == "One observation in, one action out, on a GPU"
    assert table.rows[-1][0] == "host-device copies a decision: 2"
