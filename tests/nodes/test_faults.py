"""Every fault is met as the embodiment says; `benchmarks/fault_matrix.py` tries every reaction."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gac_ros.faults import Fault, Reaction
from tests.nodes.fault_matrix import REACTIONS, ROWS, Matrix, Row, contract
from tests.nodes.support import Client, controller, write_checkpoint
from tests.ros_support import RosPeer

# Each reaction to several faults, latched and not; which meets which is left to the order.
POLICIES: dict[Fault, tuple[Reaction, bool]] = {
    fault: (
        REACTIONS[place % len(REACTIONS)],
        fault is Fault.EMERGENCY_STOP or place // len(REACTIONS) % 2 == 1,
    )
    for place, fault in enumerate(Fault)
}


@pytest.fixture(scope="module")
def matrix(
    peer: RosPeer, client: Client, episodes: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Matrix]:
    folder = tmp_path_factory.mktemp("robot")
    robot = contract(folder / "arm.yaml", POLICIES)
    with controller(
        module="tests.nodes.misbehaving_controller",
        robot=robot,
        checkpoint=write_checkpoint(robot, folder / "checkpoint"),
        autostart=True,
        use_sim_time=True,
        record__directory=episodes,
    ) as process:
        client.until("idle")
        yield Matrix(peer, client)
        assert process.stop() == 0


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name.replace(" ", "-"))
def test_a_fault_stops_the_policy_and_control_comes_back_as_configured(
    matrix: Matrix, row: Row
) -> None:
    reaction, latched = POLICIES[row.fault]
    matrix.run(row, reaction, latched=latched)


def test_the_faults_are_counted_in_diagnostics(matrix: Matrix, client: Client) -> None:
    for fault in matrix.met:
        client.diagnosis(f"fault {fault.value}", "")


def test_every_fault_has_its_row() -> None:
    assert {row.fault for row in ROWS} == set(Fault)
