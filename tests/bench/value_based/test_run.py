"""The rounds of a value-based method."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gac_ros.bench.learning.library import Library, WorkerError
from gac_ros.bench.value_based.learner import WORKER_SCRIPT
from gac_ros.bench.value_based.request import ValueBasedConfig, ValueBasedRequest
from gac_ros.bench.value_based.run import run_value_based
from gac_ros.buffer.reader import read_episode
from gac_ros.buffer.summary import list_episodes
from gac_ros.cli.app import main
from gac_ros.errors import CheckpointError, ConfigurationError, OutputError
from gac_ros.evaluation.rollout import ActorDescription, run_episode
from gac_ros.evaluation.seeds import episode_seed, online_seed
from gac_ros.sim import make_robot
from gac_ros.sim.behaviours import RandomBehaviour
from tests.bench.value_based.small_learner import small_library
from tests.online.small_runs import ROBOT, Silent

FOLDER = Path(__file__).resolve().parents[3] / "benchmarks" / "value_based"
CONFIG = ValueBasedConfig(
    algorithm="cal_ql",
    episodes=3,
    round_episodes=2,
    evaluation_episodes=2,
    updates_per_step=0.1,
    offline_updates=25,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    robot = make_robot(ROBOT)
    behaviour = RandomBehaviour(robot.embodiment)
    for seed in range(2):
        run_episode(robot, behaviour, seed, ActorDescription("random"), directory=folder)
    return folder


@pytest.fixture
def request_(tmp_path: Path, data: Path) -> ValueBasedRequest:
    return ValueBasedRequest(
        robot=ROBOT,
        out=tmp_path / "a run",
        config=CONFIG,
        initial_data=(data,),
        library=small_library(tmp_path / "library"),
        seed=4,
        command_line="gac bench online-value-based",
        commit="0123456789ab",
    )


def asked(request: ValueBasedRequest) -> list[dict[str, Any]]:
    lines = (request.out / "asked.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def results(request: ValueBasedRequest) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((request.out / "results.json").read_text())
    for result in content["rounds"]:
        result.pop("seconds")
    return content


def test_episodes_and_reports_have_the_starts_of_gac_online(request_: ValueBasedRequest) -> None:
    rounds = run_value_based(request_, Silent())
    assert [result.episodes for result in rounds] == [0, 2, 3]
    assert [result.steps for result in rounds] == [0, 600, 900]
    seeds = [
        sorted(
            row.metadata.seed or 0
            for row in list_episodes(request_.out / f"round-0{number}" / "episodes")
            if row.metadata
        )
        for number in (1, 2)
    ]
    assert seeds == [[online_seed(4, 0), online_seed(4, 1)], [online_seed(4, 2)]]
    begun = [entry["seed"] for entry in asked(request_) if entry["do"] == "seed"]
    reports = [episode_seed(4, 0), episode_seed(4, 1)]
    first, second = seeds
    assert begun == [4, *reports, *first, *reports, *second, *reports]


def test_the_worker_hears_a_return_at_the_end_of_an_episode_and_nothing_before(
    request_: ValueBasedRequest, data: Path
) -> None:
    rounds = run_value_based(request_, Silent())
    begin = asked(request_)[0]
    kept = [row.episode_return for row in sorted(list_episodes(data), key=lambda r: r.episode_id)]
    assert begin["last"] == kept
    assert begin["rewards"] == sum(begin["last"])
    added = [entry for entry in asked(request_) if entry["do"] == "add"]
    assert [len(entry["actions"]) for entry in added] == [300, 300, 300]
    collected = [r for result in rounds if result.collection for r in result.collection.returns]
    assert [entry["return"] for entry in added] == collected
    assert not any("rewards" in entry for entry in added)


def test_it_learns_offline_and_then_after_each_episode(request_: ValueBasedRequest) -> None:
    run_value_based(request_, Silent())
    learned: list[int] = [0]
    for entry in asked(request_):
        if entry["do"] == "add":
            learned.append(0)
        if entry["do"] == "learn":
            learned[-1] += entry["updates"]
    assert learned == [25, 30, 30, 30]
    assert [spent["updates"] for spent in results(request_)["run"]["training"]] == [25, 85, 115]


def test_without_processor_time_for_them_gradient_steps_are_left_out(
    request_: ValueBasedRequest,
) -> None:
    # The worker takes 0.01 s a step: 0.1 s before the first episode, 0.2 s after each.
    config = CONFIG.model_copy(update={"cpu_seconds": 0.7, "offline_share": 0.1 / 0.7})
    rounds = run_value_based(replace(request_, config=config), Silent())
    assert rounds[-1].episodes == 3
    assert [spent["updates"] for spent in results(request_)["run"]["training"]] == [10, 50, 70]


def test_where_steps_count_rounds_end_with_the_episode_that_reaches_their_share(
    request_: ValueBasedRequest, tmp_path: Path
) -> None:
    # Two rounds, of 700 and 350 steps; an episode has 300.
    config = CONFIG.model_copy(update={"steps": 1050, "cpu_seconds": 1000.0})
    request_ = replace(request_, config=config)

    class Killed(Silent):
        def round_done(self, result: Any) -> None:
            if result.round == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_value_based(request_, Killed())
    rounds = run_value_based(replace(request_, resume=True), Silent())
    assert [(result.episodes, result.steps) for result in rounds] == [(0, 0), (3, 900), (4, 1200)]
    again = replace(request_, out=tmp_path / "at once")
    run_value_based(again, Silent())
    assert results(again) == results(request_)


def test_a_run_that_broke_off_goes_on_as_if_nothing_had_happened(
    request_: ValueBasedRequest, tmp_path: Path
) -> None:
    whole = replace(request_, out=tmp_path / "whole")
    run_value_based(whole, Silent())

    class Killed(Silent):
        def round_done(self, result: Any) -> None:
            super().round_done(result)
            if result.round == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_value_based(request_, Killed())
    # A beginning of the next round, which is thrown away.
    (request_.out / "round-02" / "episodes").mkdir(parents=True)
    watch = Silent()
    later = replace(request_, resume=True, command_line="another", commit="another")
    run_value_based(later, watch)
    assert watch.rounds == [0, 1, 2]
    assert results(request_) == results(whole)
    assert results(request_)["run"]["commit"] == "0123456789ab"
    assert (request_.out / "round-02" / "model.pt").read_text() == "115"
    # Once more changes nothing.
    run_value_based(replace(request_, resume=True), Silent())
    assert results(request_) == results(whole)


def test_a_worker_that_dies_is_one_line_with_its_log_and_loses_no_round(
    request_: ValueBasedRequest, tmp_path: Path
) -> None:
    broken = small_library(tmp_path / "broken", broken_at="add")
    with pytest.raises(WorkerError, match=r"worker\.log says why"):
        run_value_based(replace(request_, library=broken), Silent())
    assert [result["round"] for result in results(request_)["rounds"]] == [0]
    run_value_based(replace(request_, resume=True), Silent())
    assert [result["round"] for result in results(request_)["rounds"]] == [0, 1, 2]


def test_what_cannot_be_run_is_refused_and_leaves_nothing_behind(
    request_: ValueBasedRequest, tmp_path: Path
) -> None:
    missing = Library(tmp_path / "nowhere", script=WORKER_SCRIPT)
    with pytest.raises(ConfigurationError, match="is missing"):
        run_value_based(replace(request_, library=missing), Silent())
    with pytest.raises(CheckpointError, match="no online run to resume"):
        run_value_based(replace(request_, resume=True), Silent())
    assert not (request_.out / "run.json").exists()
    short = replace(request_, config=CONFIG.model_copy(update={"episodes": 1, "algorithm": "rlpd"}))
    run_value_based(short, Silent())
    with pytest.raises(OutputError, match="--resume"):
        run_value_based(short, Silent())
    with pytest.raises(ConfigurationError, match="another seed"):
        run_value_based(replace(short, seed=5, resume=True), Silent())


@pytest.mark.usefixtures("signals_as_before")
def test_the_command_makes_a_run_that_gac_bench_online_keeps(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    library, out = small_library(tmp_path / "library"), tmp_path / "rlpd-0"
    assert not library.missing()
    options = f"--robot {ROBOT} --algorithm rlpd --episodes 1 --evaluation-episodes 2".split()
    options += ["--initial-data", str(data), "--out", str(out)]
    options += ["--value-based", str(tmp_path / "library")]
    assert main(["bench", "online-value-based", *options]) == 2
    assert "make value-based" in capsys.readouterr().err
    options += ["--value-based-python", sys.executable]
    assert main(["bench", "online-value-based", *options, "--cpu-seconds", "0"]) == 2
    assert "--cpu-seconds" in capsys.readouterr().err
    assert main(["bench", "online-value-based", *options]) == 0
    page = tmp_path / "page.md"
    page.write_text("<!-- figures: begin -->\n<!-- figures: end -->\n")
    where = ["--results", str(tmp_path / "results"), "--page", str(page)]
    assert main(["bench", "online", str(out), *where]) == 0
    assert "**rlpd-0**, `gac bench online-value-based" in page.read_text()
    assert "300 gradient steps, 3 s of processor time." in page.read_text()


@pytest.mark.skipif(
    bool(Library(FOLDER, script=WORKER_SCRIPT).missing()),
    reason="d3rlpy has an environment of its own, several GB: make value-based",
)
@pytest.mark.parametrize("algorithm", ["cal_ql", "rlpd"])
def test_d3rlpy_learns_and_goes_on_exactly_where_it_was(
    algorithm: str, request_: ValueBasedRequest, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(
        update={"algorithm": algorithm, "updates_per_step": 0.01, "offline_updates": 3}
    )
    library = Library(FOLDER, script=WORKER_SCRIPT)
    whole = replace(request_, out=tmp_path / "whole", config=config, library=library)
    run_value_based(whole, Silent())

    class Killed(Silent):
        def round_done(self, result: Any) -> None:
            if result.round == 1:
                raise KeyboardInterrupt

    resumed, last = replace(whole, out=tmp_path / "resumed"), Path("round-02") / "episodes"
    with pytest.raises(KeyboardInterrupt):
        run_value_based(resumed, Killed())
    run_value_based(replace(resumed, resume=True), Silent())
    digests = [
        [read_episode(row.path).content_digest() for row in list_episodes(run.out / last)]
        for run in (whole, resumed)
    ]
    assert digests[0] == digests[1]
