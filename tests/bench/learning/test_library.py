"""The library's worker, behind its pipes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gac_ros.bench.learning.harness import run_benchmark
from gac_ros.bench.learning.library import (
    Library,
    LibraryActor,
    RewardedRobot,
    WorkerError,
    library_actor,
    train_library,
)
from gac_ros.bench.learning.methods import LibraryMethod, find_method
from gac_ros.bench.learning.records import read_records
from gac_ros.bench.learning.tasks import load_data
from gac_ros.sim import make_robot
from tests.bench.learning.conftest import SMALL_TASK, MakeRequest

# Writes what it was asked for, as a training does.
TRAIN = """
import json, sys, pathlib
import numpy as np
_, _, _, data, _, _, _, _, _, seed, _, budget, _, out = sys.argv
print(json.dumps({"step": 1, "cpu": 0.5}))
pathlib.Path(out).mkdir(parents=True)
record = {"steps": 7, "episodes": len(np.load(data)["lengths"]), "seed": seed, "budget": budget}
(pathlib.Path(out) / "training.json").write_text(json.dumps(record))
"""
FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "value_based"
# Speaks the worker's protocol; its action is the start flag and the last reward.
ECHO = """
import struct, sys
sys.stdout.buffer.write(struct.pack("<q", 4)); sys.stdout.buffer.flush()
while len(request := sys.stdin.buffer.read(48)) == 48:
    started, reward, *_ = struct.unpack("<6d", request)
    sys.stdout.buffer.write(struct.pack("<2d", started, reward)); sys.stdout.buffer.flush()
"""


def worker(folder: Path, source: str) -> Library:
    (folder / "worker.py").write_text(source)
    return Library(folder, Path(sys.executable))


def test_the_worker_hears_of_each_start_and_each_reward(tmp_path: Path, work: Path) -> None:
    data = load_data(SMALL_TASK, work=work, data_folder=tmp_path)
    with library_actor(worker(tmp_path, ECHO), tmp_path, data) as actor:
        robot = RewardedRobot(make_robot("pointmaze_umaze"), actor, rewards=True)
        actor.begin(0)
        robot.reset(0)
        assert actor.act(np.zeros(4)).tolist() == [1.0, 0.0]
        outcome = robot.step(np.zeros(2))
        assert actor.act(np.zeros(4)).tolist() == [0.0, outcome.reward]
        actor.reward(2.5)
        assert actor.act(np.zeros(4)).tolist() == [0.0, 2.5]
        actor.begin(1)
        assert actor.act(np.zeros(4)).tolist() == [1.0, 0.0]


def test_a_worker_that_dies_is_one_line_with_its_log(tmp_path: Path, work: Path) -> None:
    data = load_data(SMALL_TASK, work=work, data_folder=tmp_path)
    died = worker(tmp_path, "raise SystemExit('no such model')")
    with (
        pytest.raises(WorkerError, match=r"worker\.log says why"),
        library_actor(died, tmp_path, data),
    ):
        pass
    assert "no such model" in (tmp_path / "worker.log").read_text()

    def act_until_it_ends(actor: LibraryActor) -> None:
        for _ in range(2):
            actor.act(np.zeros(4))

    answers_once = ECHO.replace("while", "if")
    hears_nothing = "import os; os.close(0)" + ECHO.replace("while", "if 0 and")
    for source in (answers_once, hears_nothing):
        with (
            pytest.raises(WorkerError, match="while it was acting"),
            library_actor(worker(tmp_path, source), tmp_path, data) as actor,
        ):
            act_until_it_ends(actor)


def test_a_training_leaves_its_record_also_in_a_folder_named_from_here(
    tmp_path: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load_data(SMALL_TASK, work=work, data_folder=tmp_path)
    method = find_method("td3_bc_end")
    assert isinstance(method, LibraryMethod)
    monkeypatch.chdir(tmp_path)
    library = worker(tmp_path, TRAIN)
    told: list[float] = []

    def tell(done: float, text: str) -> None:
        told.append(done)

    record = train_library(library, Path("models") / "m", method, data, 3, 1.5, tell)
    assert record == {"steps": 7, "episodes": 4, "seed": "3", "budget": "1.5"}
    assert told == [0.5]
    assert [path.name for path in Path("models").glob("*.npz")] == []
    # What is there is not trained again.
    (tmp_path / "worker.py").unlink()
    assert train_library(library, Path("models") / "m", method, data, 3, 1.5, tell) == record


def test_the_budget_is_the_time_that_gac_took(make_request: MakeRequest, tmp_path: Path) -> None:
    request = make_request("td3_bc_end", library=worker(tmp_path, ECHO))
    ((_, outcome),) = run_benchmark(request)
    assert outcome.status == "failed"
    assert "--methods gac first" in outcome.reason


@pytest.mark.skipif(
    bool(Library(FOLDER).missing()),
    reason="d3rlpy has an environment of its own, several GB: make value-based",
)
@pytest.mark.parametrize("rewards", ["steps", "end"])
@pytest.mark.parametrize("algorithm", ["td3_bc", "iql", "cql", "decision_transformer"])
def test_every_algorithm_learns_and_acts(
    algorithm: str, rewards: str, make_request: MakeRequest
) -> None:
    name = f"{algorithm}_{rewards}".replace("transformer_steps", "transformer")
    request = make_request("gac", name)
    statuses = [
        outcome.status for _, outcome in run_benchmark(replace(request, library=Library(FOLDER)))
    ]
    assert statuses == ["done", "done"]
    ours, theirs = sorted(read_records(request.results), key=lambda record: record.method != "gac")
    assert [e.seed for e in ours.episodes] == [e.seed for e in theirs.episodes]
    assert ours.times.training is not None
    assert theirs.training["cpu_budget"] == ours.times.training.cpu
    assert theirs.training["steps"] > 0
