"""The fault matrix beyond the controller's tests: limited actions, and how times are judged."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest

from gac_ros.faults import LIMITS, Reaction
from tests.nodes.fault_matrix import ROWS, Times
from tests.scripts import load_script


@pytest.fixture(scope="module")
def matrix() -> ModuleType:
    return load_script("fault_matrix")


def test_what_exceeds_a_limit_is_sent_as_the_nearest_command_within_and_is_no_fault(
    matrix: ModuleType, tmp_path: Path
) -> None:
    cells = matrix.run_reaction(Reaction.LIMIT, latched=False, folder=tmp_path, slack=math.inf)
    assert [cell["fault"] for cell in cells] == [fault.value for fault in LIMITS]
    assert [cell["problem"] for cell in cells] == [""] * 3


def test_a_policy_that_acts_or_a_reaction_that_comes_after_the_limit_and_its_slack_is_a_problem(
    matrix: ModuleType,
) -> None:
    assert matrix.judge(Times(-0.01, 0.6), limit=0.5, slack=0.1) == ""
    assert "the reaction came 0.610 s after" in matrix.judge(
        Times(-0.01, 0.61), limit=0.5, slack=0.1
    )
    assert "the policy acted 0.700 s after" in matrix.judge(Times(0.7, 0.75), limit=0.5, slack=0.1)
    assert matrix.judge(None, limit=0.0, slack=0.0) == ""


def test_the_largest_times_stand_beside_the_limit_of_their_row(matrix: ModuleType) -> None:
    row = next(row for row in ROWS if row.name == "nothing more heard")
    cells = [
        {"row": row.name, "last_policy": last, "first_reaction": first}
        for last, first in ((None, 0.5), (0.01, 0.55), (None, None))
    ]
    told = {entry["row"]: entry for entry in matrix.table(cells, slack=0.25)}
    assert set(told) == {row.name for row in ROWS}
    entry = told[row.name]
    assert (entry["last_policy"], entry["first_reaction"]) == (0.01, 0.55)
    assert (entry["limit"], entry["slack"], entry["cells"]) == (0.6, 0.25, 3)
    assert told["NaN"]["first_reaction"] is None
