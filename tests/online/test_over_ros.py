"""The loop over real DDS gives the very figures of the loop in one process."""

from __future__ import annotations

from pathlib import Path

import pytest

from gac_ros.checkpoint import save_checkpoint
from gac_ros.online.loop import run_online
from tests.online.small_runs import CONFIG, ROBOT, Silent, request
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("ros_domain")


def test_both_transports_collect_learn_and_report_the_same(tmp_path: Path) -> None:
    first = save_checkpoint(untrained_checkpoint(ROBOT), tmp_path / "first")
    config = CONFIG.model_copy(
        update={
            "episodes": 1,
            "round_episodes": 1,
            "evaluation_episodes": 1,
            "gate_episodes": 1,
            "plan_trials": 2,
        }
    )
    over_ros, in_process = (
        run_online(
            request(
                tmp_path / transport,
                tmp_path,
                initial_data=(),
                checkpoint=first,
                config=config,
                transport=transport,
            ),
            Silent(),
        )
        for transport in ("ros", "inproc")
    )
    for one, other in zip(over_ros, in_process, strict=True):
        assert one.collection == other.collection
        assert one.gate == other.gate
        assert one.exploitation == other.exploitation
