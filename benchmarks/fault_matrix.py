"""Every fault with every reaction, latched and not, over real DDS.

    python benchmarks/fault_matrix.py --json fault_matrix.json

One controller a reaction; the rows and what is asked of each are those of the test. A cell that
fails is told, and the others go on; the exit code is 1 then. It takes some ten minutes idle.
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

from gac_ros.faults import Fault, Reaction
from tests.nodes.fault_matrix import REACTIONS, ROWS, Matrix, contract
from tests.nodes.support import Client, controller, write_checkpoint
from tests.ros_support import RosPeer, claimed_domain


def run_reaction(reaction: Reaction, *, latched: bool, folder: Path) -> list[dict[str, Any]]:
    """Every row with one reaction, in one life of a controller."""
    policies = {fault: (reaction, latched or fault is Fault.EMERGENCY_STOP) for fault in Fault}
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
            for row in ROWS:
                problem = ""
                try:
                    matrix.run(row, reaction, latched=policies[row.fault][1])
                except (AssertionError, pytest.fail.Exception) as error:
                    problem = " ".join(str(error).split())[:500] or type(error).__name__
                cell = {"row": row.name, "fault": row.fault.value, "reaction": reaction.value}
                cells.append({**cell, "latched": policies[row.fault][1], "problem": problem})
                print(
                    f"{row.name:28} {reaction.value:10} {'latched' if latched else '':8}", end=" "
                )
                print(problem or "as configured", flush=True)
            process.stop()
        peer.close()
    return cells


def main() -> int:
    """Run the matrix; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the cells to this file")
    parser.add_argument("--reactions", nargs="*", default=[it.value for it in REACTIONS])
    arguments = parser.parse_args()
    cells: list[dict[str, Any]] = []
    for name in arguments.reactions:
        for latched in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                cells += run_reaction(Reaction(name), latched=latched, folder=Path(folder))
    wrong = sum(bool(cell["problem"]) for cell in cells)
    print(f"{len(cells)} cells, {wrong} not as configured")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"cells": cells}, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
