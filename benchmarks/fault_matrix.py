"""Every fault with every reaction, latched and not, over real DDS.

    python benchmarks/fault_matrix.py --json fault_matrix.json

One controller a reaction; the rows and what is asked of each are those of the test. Here they are
also held to the times of docs/safety.md, plus a slack for DDS and the machine: from a fault's cause
until the last command of the policy, and until the first one of the reaction, as a subscriber sees
them. A cell that fails is told, and the others go on; the exit code is 1 then. It takes some ten
minutes idle.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gac_ros.bench.provenance import commit
from gac_ros.faults import LIMITS, Fault, Reaction
from tests.nodes.fault_matrix import (
    DEADLINE_MISSES,
    MAX_AGE,
    MAX_STALL,
    RATE,
    ROWS,
    Matrix,
    Row,
    Times,
    contract,
)
from tests.nodes.misbehaving_controller import LATE
from tests.nodes.support import Client, controller, write_checkpoint
from tests.ros_support import RosPeer, claimed_domain

SLACK = 0.25  # s; for DDS both ways and a machine that also does other things
_PERIOD = 1.0 / RATE
# It answers the next observation; where none was heard yet, the watchdog sends the safe action.
_NEXT_DECISION = _PERIOD
_LOOK = 0.1  # s; how often the controller looks for strangers
_DISCOVERY = 0.5  # s; until DDS knows of one


def time_limit(row: Row) -> float:
    """Seconds from a row's cause within which docs/safety.md has the policy stopped."""
    if row.fault is Fault.EMERGENCY_STOP:
        return 0.0
    if row.fault is Fault.OBSERVATION_STALE:
        return MAX_AGE + 2.0 * _PERIOD
    if row.fault is Fault.DUPLICATE_PUBLISHER:
        return _DISCOVERY + _LOOK + _NEXT_DECISION
    if row.name == "standing still":
        return _NEXT_DECISION + 1.25 * MAX_STALL
    if row.name == "slow":
        return _NEXT_DECISION + DEADLINE_MISSES * LATE + _NEXT_DECISION
    return _NEXT_DECISION


def judge(times: Times | None, limit: float, slack: float) -> str:
    """What is wrong with a row's times; empty when nothing is."""
    if times is None:
        return ""
    late = []
    if times.last_policy > limit + slack:
        late.append(f"the policy acted {times.last_policy:.3f} s after the cause")
    if times.reaction > limit + slack:
        late.append(f"the reaction came {times.reaction:.3f} s after it")
    if not late:
        return ""
    return f"{', '.join(late)}; {limit:.3f} s are allowed, and {slack:g} s of slack"


def run_reaction(
    reaction: Reaction, *, latched: bool, folder: Path, slack: float = SLACK
) -> list[dict[str, Any]]:
    """Every row that may have a reaction, in one life of a controller."""
    only_limits = reaction is Reaction.LIMIT
    rows = [row for row in ROWS if row.fault in LIMITS or not only_limits]
    policies = {
        fault: (
            Reaction.SAFE if only_limits and fault not in LIMITS else reaction,
            latched or fault is Fault.EMERGENCY_STOP,
        )
        for fault in Fault
    }
    robot = contract(folder / "arm.yaml", policies)
    checkpoint = write_checkpoint(robot, folder / "checkpoint")
    cells = []
    with claimed_domain() as domain, pytest.MonkeyPatch.context() as environment:
        environment.setenv("ROS_DOMAIN_ID", str(domain))
        environment.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        environment.setenv("ROS_LOG_DIR", str(folder / "log"))
        peer = RosPeer(domain)
        client = Client(peer)
        with controller(
            module="tests.nodes.misbehaving_controller",
            robot=robot,
            checkpoint=checkpoint,
            autostart=True,
            use_sim_time=True,
            record__directory=folder / "episodes",
        ) as process:
            client.until("idle")
            matrix = Matrix(peer, client)
            for row in rows:
                cell = run_cell(matrix, row, reaction, latched=policies[row.fault][1], slack=slack)
                cells.append(cell)
                print(
                    f"{row.name:28} {reaction.value:10} {'latched' if latched else '':8} "
                    f"{cell['problem'] or 'as configured'}",
                    flush=True,
                )
            process.stop()
        peer.close()
    return cells


def run_cell(
    matrix: Matrix, row: Row, reaction: Reaction, *, latched: bool, slack: float
) -> dict[str, Any]:
    """One row with one reaction."""
    times = None
    try:
        times = matrix.run(row, reaction, latched=latched)
        problem = judge(times, time_limit(row), slack)
    except (AssertionError, pytest.fail.Exception) as error:
        problem = " ".join(str(error).split())[:500] or type(error).__name__
    return {
        "row": row.name,
        "fault": row.fault.value,
        "reaction": reaction.value,
        "latched": latched,
        # None before the cause, and where the action is only limited.
        "last_policy": None if times is None or times.last_policy < 0 else _ms(times.last_policy),
        "first_reaction": None if times is None else _ms(max(0.0, times.reaction)),
        "problem": problem,
    }


def _ms(seconds: float) -> float:
    return round(seconds, 3)


def table(cells: list[dict[str, Any]], slack: float) -> list[dict[str, Any]]:
    """The largest times of each row, beside its limit."""
    rows = []
    for row in ROWS:
        own = [cell for cell in cells if cell["row"] == row.name]
        largest = {
            key: max((cell[key] for cell in own if cell[key] is not None), default=None)
            for key in ("last_policy", "first_reaction")
        }
        rows.append(
            {
                "row": row.name,
                "fault": row.fault.value,
                "cells": len(own),
                "limit": _ms(time_limit(row)),
                "slack": slack,
                **largest,
            }
        )
    return rows


def print_table(rows: list[dict[str, Any]]) -> None:
    """Largest times of all cells of a row, in seconds from the cause."""

    def text(value: float | None) -> str:
        return f"{'-' if value is None else format(value, '.3f'):>14}"

    print(f"{'seconds from the cause':28}{'last policy':>14}{'first reaction':>16}{'limit':>14}")
    for row in rows:
        if not row["cells"]:
            continue
        print(
            f"{row['row']:28}{text(row['last_policy'])}  {text(row['first_reaction'])}"
            f"{text(row['limit'])} + {row['slack']:g}"
        )


def main() -> int:
    """Run the matrix; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the cells to this file")
    parser.add_argument("--reactions", nargs="*", default=[it.value for it in Reaction])
    parser.add_argument(
        "--slack", type=float, default=SLACK, help="seconds for DDS and the machine (%(default)s)"
    )
    arguments = parser.parse_args()
    code = commit()  # of what runs, before somebody changes it
    cells: list[dict[str, Any]] = []
    for name in arguments.reactions:
        # What is only limited raises nothing that could be latched.
        for latched in (False, True)[: 1 if name == Reaction.LIMIT.value else 2]:
            with tempfile.TemporaryDirectory() as folder:
                cells += run_reaction(
                    Reaction(name), latched=latched, folder=Path(folder), slack=arguments.slack
                )
    wrong = sum(bool(cell["problem"]) for cell in cells)
    rows = table(cells, arguments.slack)
    print_table(rows)
    print(f"{len(cells)} cells, {wrong} not as configured")
    if arguments.json is not None:
        report = {"commit": code, "rows": rows, "cells": cells}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
