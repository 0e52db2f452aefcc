"""Whatever comes in, what goes out is finite, within its limits, and of the policy only when due.

`--message-sequences 100000` takes some minutes and more messages. With a path in the environment's
MESSAGE_SEQUENCES_JSON, what was counted is written there.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from gac_ros.bench.provenance import commit
from tests.message_sequences import ROBOTS, Course, courses


@pytest.mark.timeout(3600)  # 100,000 take longer than the suite's limit for a test
@pytest.mark.filterwarnings("ignore:overflow")  # of numbers that a scale makes infinite
def test_no_sequence_of_messages_gets_a_bad_command_out(request: pytest.FixtureRequest) -> None:
    count = request.config.getoption("--message-sequences")
    report = os.environ.get("MESSAGE_SEQUENCES_JSON")
    seen: Counter[str] = Counter()
    code = commit() if report else None  # before somebody changes it

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(courses)
    def play(drawn: tuple[int, list[tuple[Any, ...]]]) -> None:
        number, operations = drawn
        course = Course(ROBOTS[number])
        course.play(operations)
        seen.update(
            sequences=1,
            decisions=course.decisions,
            policy=course.by_the_policy,
            alike=course.alike,
        )

    play()

    print(dict(seen))
    # The sequences are worth something only if the policy gets to act in many of them.
    assert seen["sequences"] >= count
    assert seen["decisions"] > seen["sequences"]
    assert seen["policy"] > 0.03 * seen["decisions"]
    assert seen["alike"] > seen["sequences"]
    if report:
        Path(report).write_text(json.dumps({"commit": code, **seen}, indent=1) + "\n")
