"""The table's runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gac_ros.bench.learning import harness
from gac_ros.bench.learning.harness import Observer, cells, run_benchmark
from gac_ros.bench.learning.methods import METHODS, find_method
from gac_ros.bench.learning.records import (
    RunRecord,
    read_record,
    read_records,
    record_path,
    write_record,
)
from gac_ros.bench.learning.tasks import TASKS, find_task
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.embodiment import find_embodiment
from gac_ros.evaluation.seeds import Purpose, episode_seed
from gac_ros.files import locked
from gac_ros.training.config import TrainingConfig
from tests.bench.learning.conftest import SMALL, SMALL_TASK, MakeRequest


def run_one(request: harness.BenchmarkRequest) -> RunRecord:
    ((_, outcome),) = run_benchmark(request)
    assert outcome.status == "done", outcome.reason
    assert outcome.record is not None
    return outcome.record


def test_a_run_leaves_one_file_that_says_what_was_run_and_what_it_cost(
    make_request: MakeRequest,
) -> None:
    request = make_request("gac")
    record = run_one(request)
    path = record_path(request.results, SMALL_TASK.name, "gac", 0)
    assert list(request.results.rglob("*.json")) == [path]
    assert read_record(path) == record
    assert len(record.episodes) == 2
    assert record.score_mean == pytest.approx(np.mean(record.scores))
    assert record.config["training"]["iterations"] == 3
    assert record.config["training"]["model"]["width"] == 16
    assert record.data.episodes == 4
    times = (record.times.collection, record.times.training, record.times.planning)
    assert all(t is not None and t.wall > 0.0 for t in times)
    assert record.command.endswith("--tasks pointmaze_umaze --methods gac --seeds 0")


def test_runs_that_are_there_are_kept_until_asked_for_again(make_request: MakeRequest) -> None:
    request = make_request("behaviour_cloning")
    record = run_one(request)
    write_record(request.results, record.model_copy(update={"commit": "of old"}))

    def again(**changes: object) -> tuple[str, str | None]:
        ((_, outcome),) = run_benchmark(replace(request, **changes))
        assert outcome.record is not None
        return outcome.status, outcome.record.commit

    assert again() == ("there", "of old")
    assert again(redo="stale") == ("there", "of old")
    other = SMALL.model_copy(update={"learning_rate": 1e-4})
    assert again(base=other) == ("stale", "of old")
    assert again(base=other, redo="stale") == ("done", record.commit)
    write_record(request.results, record.model_copy(update={"commit": "of old"}))
    assert again(redo="all") == ("done", record.commit)


def test_evaluation_never_sees_the_seeds_of_the_data(make_request: MakeRequest, work: Path) -> None:
    evaluated = {episode.seed for episode in run_one(make_request("behaviour_cloning")).episodes}
    data = EpisodeBuffer.open(work / "data" / "pointmaze_umaze-4")
    collected = {episode.metadata.seed for episode in data if episode.metadata is not None}
    assert len(collected) == 4
    assert evaluated == {episode_seed(0, index, Purpose.BENCHMARK) for index in range(2)}
    assert not evaluated & collected
    starts = {tuple(episode.observations[0]) for episode in data}
    assert len(starts) == 4


def test_an_ablation_is_evaluated_on_the_starts_of_gac_evaluate(
    make_request: MakeRequest,
) -> None:
    record = run_one(make_request("behaviour_cloning", starts="tuning"))
    assert record.starts == "tuning"
    assert [episode.seed for episode in record.episodes] == [episode_seed(0, 0), episode_seed(0, 1)]


def test_methods_meet_the_same_starts_and_share_a_training(make_request: MakeRequest) -> None:
    trained = []

    class Watch(Observer):
        def progress(self, done: float, text: str) -> None:
            if text.startswith("actions"):
                trained.append(done)

    request = make_request("lpt_w1", "lpt_w4")
    outcomes = run_benchmark(request, Watch())
    first, second = (outcome.record for _, outcome in outcomes)
    assert first is not None
    assert second is not None
    assert [e.seed for e in first.episodes] == [e.seed for e in second.episodes]
    assert first.times.training == second.times.training
    assert first.config["training"] == second.config["training"]
    assert first.config["training"]["langevin_steps"] == 3
    assert not first.config["training"]["model"]["return_sees_start"]
    assert first.config["planner"]["posterior_weight"] == 1.0
    assert second.config["planner"]["posterior_weight"] == 4.0
    assert trained == [1, 2, 3]


def test_the_number_of_processes_does_not_change_the_figures(make_request: MakeRequest) -> None:
    request = make_request("gac", episodes=3)
    one = run_one(request)
    two = run_one(replace(request, processes=2, redo="all"))
    assert one.episodes == two.episodes


def test_a_training_that_was_interrupted_goes_on(make_request: MakeRequest, tmp_path: Path) -> None:
    done = []

    class Interrupt(Observer):
        def progress(self, done_so_far: float, text: str) -> None:
            if text.startswith("actions"):
                done.append(done_so_far)
                if done == [1, 2, 3]:
                    raise KeyboardInterrupt

    # Of its own, so that no other test has trained it.
    request = make_request("behaviour_cloning_best_10")
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(request, Interrupt())
    assert not list(request.results.rglob("*.json"))
    ((_, outcome),) = run_benchmark(request, Interrupt())
    assert outcome.status == "done"
    assert done == [1, 2, 3, 3]


def test_a_cell_that_another_process_holds_is_left_to_it(make_request: MakeRequest) -> None:
    request = make_request("data_mean")
    lock = request.work / "locks" / request.results.name / "pointmaze_umaze-data_mean-0.lock"
    with locked(lock):
        ((_, outcome),) = run_benchmark(request)
    assert outcome.status == "elsewhere"
    assert run_one(request).method == "data_mean"


def test_a_cell_that_cannot_be_run_says_why_and_stops_nobody(make_request: MakeRequest) -> None:
    request = make_request("td3_bc_end", "data_mean")
    request = replace(request, tasks=[find_task("hopper_medium"), SMALL_TASK])
    outcomes = {cell.name: outcome for cell, outcome in run_benchmark(request)}
    reason = outcomes["hopper_medium, data_mean, seed 0"].reason
    assert "--data-folder" in reason
    assert "locomotion_data.py hopper --medium-at 175000 --out" in reason
    assert "--value-based" in outcomes["pointmaze_umaze, td3_bc_end, seed 0"].reason
    assert outcomes["pointmaze_umaze, data_mean, seed 0"].status == "done"


def test_a_damaged_run_is_an_error_of_its_own_cell(make_request: MakeRequest) -> None:
    request = make_request("data_mean")
    path = record_path(request.results, SMALL_TASK.name, "data_mean", 0)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    ((_, outcome),) = run_benchmark(request)
    assert outcome.status == "failed"
    assert str(path) in outcome.reason
    assert "remove it" in outcome.reason


def test_the_data_s_own_run_holds_every_recorded_return(make_request: MakeRequest) -> None:
    request = make_request("data_mean", seeds=[0, 1, 2])
    record = run_one(request)
    assert len(record.episodes) == 4
    assert record.score_mean == pytest.approx(record.data.score_mean)
    assert list(read_records(request.results)) == [record]


def test_the_first_tasks_get_all_seeds_before_the_others_get_any() -> None:
    methods = [find_method("gac"), find_method("data_mean")]
    table = cells(TASKS, methods, [0, 1])
    assert len(table) == 3 * len(TASKS)
    names = [(c.task.name, c.method.name, c.seed) for c in table]
    assert names[:4] == [
        ("pointmaze_umaze", "data_mean", 0),
        ("pointmaze_umaze", "gac", 0),
        ("pointmaze_umaze", "gac", 1),
        ("hopper_medium_replay", "data_mean", 0),
    ]
    assert [cell.seed for cell in table if not cell.task.first] == [0] * 8 + [1] * 4


def test_gac_comes_before_the_methods_that_get_its_time() -> None:
    (first, *_) = [cell.method.name for cell in cells(TASKS[:1], METHODS[::-1], [0])][1:]
    assert first == "gac"


def test_baselines_are_trained_without_what_gac_adds() -> None:
    embodiment = find_embodiment("pointmaze_umaze")
    for name in ("behaviour_cloning", "behaviour_cloning_best_10", "lpt_w1"):
        training = find_method(name).config(TrainingConfig(), embodiment)["training"]
        assert training["return_weighting"] == 0.0
    planner = find_method("gac").config(TrainingConfig(), embodiment)["planner"]
    assert "exploit_steps" in planner
    assert "posterior_weight" not in planner
