"""The whole loop on a real simulated robot, with a model too small to learn much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gac_ros.buffer.summary import list_episodes
from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.errors import CheckpointError, ConfigurationError, OutputError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.seeds import episode_seed
from gac_ros.lineage import read_forest
from gac_ros.online.config import OnlineConfig, Strategy, collecting_planner
from gac_ros.online.loop import run_online
from gac_ros.online.mixture import Mixture
from gac_ros.online.plot import plot_runs, read_rounds
from gac_ros.online.results import LiveResult, RoundResult
from gac_ros.online.target import Target
from gac_ros.planning import PlannerConfig
from gac_ros.training.state import known_chains
from tests.online.small_runs import CONFIG, ROBOT, Silent, kill_at, request
from tests.toy import untrained_checkpoint


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "episodes"
    collect(CollectionRequest(ROBOT, "waypoint", 4, folder))
    return folder


@pytest.fixture(scope="module")
def finished(
    data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[RoundResult]]:
    out = tmp_path_factory.mktemp("run") / "online"
    return out, run_online(request(out, data, commit="0123456789ab"), Silent())


def test_a_run_collects_fine_tunes_and_reports_each_round(
    finished: tuple[Path, list[RoundResult]],
) -> None:
    out, rounds = finished
    assert [r.episodes for r in rounds] == [0, 2, 3]
    assert rounds[2].steps == 900
    # In each round three plans on one start (then one is left), and two models on two starts.
    assert rounds[2].gate_steps == 2 * (3 + 2 * 2) * 300
    assert rounds == read_rounds(out)
    assert set(rounds[1].seconds) >= {"collect", "train", "gate"}
    recorded = list_episodes(out / "round-01" / "episodes")
    assert sorted(row.mode for row in recorded) == ["explore", "explore"]
    content = json.loads((out / "results.json").read_text())
    assert content["run"]["config"]["collect"] == "explore"
    first = rounds[1].collection
    assert first is not None
    assert first.shares == {"known": 0.75, "interrupted": 0.5, "rests": 0.5}
    assert len(content["rounds"][1]["collection"]["returns"]) == 2


def test_lineage_and_chains_go_from_round_to_round(
    finished: tuple[Path, list[RoundResult]],
) -> None:
    out, rounds = finished
    learners = [load_checkpoint(out / r.learner) for r in rounds]
    assert learners[0].lineage.parent is None
    assert learners[1].lineage.parent == learners[0].digest
    assert learners[2].lineage.parent == learners[1].digest
    candidate = load_checkpoint(out / "round-02" / "candidate")
    assert candidate.lineage.parent == learners[2].digest
    forest = read_forest([out])
    assert forest.broken == ()
    (first,) = forest.roots
    assert first.digest == learners[0].digest
    assert [c.lineage.episodes for c in learners] == [4, 6, 7]
    ids = set(known_chains(out / rounds[2].learner))
    assert {row.episode_id for row in list_episodes(out / "round-01" / "episodes")} < ids


def test_collection_tuning_and_reporting_have_starts_of_their_own(
    finished: tuple[Path, list[RoundResult]],
) -> None:
    out, _ = finished
    collected = [
        row.metadata.seed
        for number in (1, 2)
        for row in list_episodes(out / f"round-0{number}" / "episodes")
        if row.metadata
    ]
    assert len(set(collected)) == 3
    assert not set(collected) & {episode_seed(0, index) for index in range(1000)}


def test_a_finished_run_resumes_to_the_same_and_refuses_another_start(
    finished: tuple[Path, list[RoundResult]], data: Path
) -> None:
    out, rounds = finished
    watch = Silent()
    assert run_online(request(out, data, resume=True), watch) == rounds
    assert watch.rounds == [0, 1, 2]
    # The commit is the one at which it began, whoever resumes it.
    assert json.loads((out / "results.json").read_text())["run"]["commit"] == "0123456789ab"
    with pytest.raises(OutputError, match="--resume"):
        run_online(request(out, data), Silent())
    with pytest.raises(ConfigurationError, match="another seed"):
        run_online(request(out, data, resume=True, seed=1), Silent())


def test_a_run_killed_at_any_stage_ends_as_an_uninterrupted_one(
    finished: tuple[Path, list[RoundResult]], data: Path, tmp_path: Path
) -> None:
    _, whole = finished
    out = tmp_path / "killed"
    for stage in (
        "training the first",
        "round 0: exploiting",
        "round 1: collecting",
        "round 1: fine-tuning",
        "round 1: trying plans",
        "round 1: testing the incumbent",
        "round 1: testing the candidate",
        "round 2: collecting",
    ):
        kill_at(stage, "tests.online.small_runs", out, data)
    rounds = run_online(request(out, data, resume=True), Silent())
    for one, two in zip(rounds, whole, strict=True):
        # Ids, and so digests, differ; figures do not.
        assert one.collection == two.collection
        assert one.exploitation == two.exploitation
        assert one.gate == two.gate
        assert one.gate_steps == two.gate_steps


AIM = Target(increment=3.0, highest=7.0, median=0.0, reach=1.0)
SHARES = Mixture(known=0.6, interrupted=0.3, rests=0.2)


class WentBack:
    """A robot that keeps the first candidate, goes back to who acted before, and keeps no other."""

    def __init__(self) -> None:
        self._first = ""

    def begin(self, first: Path) -> None:
        self._first = load_checkpoint(first).digest

    def acting(self) -> str:
        return self._first

    def refused(self, candidate: Path, why: str) -> None:
        raise AssertionError("without a gate nobody is refused")

    def take_over(self, number: int, candidate: Path, why: str) -> LiveResult:
        return LiveResult(
            kept=number == 1,
            why="",
            returns=[],
            former_returns=[],
            differences=[],
            steps=0,
            episodes=f"round-{number:02d}/live",
            seeds=[],
        )


def test_after_the_robot_went_back_the_run_counts_on_who_acts(data: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"gate_episodes": 0, "after_rejection": "restart"})
    rounds = run_online(request(tmp_path / "run", data, config=config), Silent(), WentBack())
    assert rounds[1].incumbent.startswith("round-01")
    assert rounds[2].incumbent_digest == rounds[0].incumbent_digest
    assert rounds[2].exploitation == rounds[0].exploitation
    assert rounds[2].learner == rounds[0].learner


@pytest.mark.parametrize("strategy", ["exploit", "prior", "posterior"])
def test_only_exploration_is_given_a_target(strategy: Strategy) -> None:
    mode, planner = collecting_planner(
        CONFIG.model_copy(update={"collect": strategy}), PlannerConfig(), AIM, SHARES
    )
    assert mode == ("posterior" if strategy == "posterior" else "exploit")
    assert planner.explore_raise is planner.explore_target is None
    mode, planner = collecting_planner(OnlineConfig(), PlannerConfig(), AIM, SHARES)
    assert (mode, planner.explore_raise, planner.explore_target) == ("explore", 3.0, 7.0)
    assert (planner.explore_known_share, planner.explore_rest_share) == (0.6, 0.2)


def test_prior_plans_are_samples_of_the_prior() -> None:
    checkpoint = untrained_checkpoint(ROBOT)
    config = OnlineConfig(collect="prior")
    mode, planner = collecting_planner(config, checkpoint.planner, AIM, SHARES)
    sampler = checkpoint.make_planner(**planner.model_dump())
    assert (sampler.plan(mode, 0).z0 != sampler.plan(mode, 1).z0).all()


def test_a_run_can_begin_with_a_checkpoint_alone(tmp_path: Path) -> None:
    first = save_checkpoint(untrained_checkpoint(ROBOT), tmp_path / "first")
    changes = {"episodes": 2, "gate_episodes": 0, "plan_trials": 0, "collect": "prior"}
    config = CONFIG.model_copy(update=changes)
    rounds = run_online(
        request(tmp_path / "run", tmp_path, initial_data=(), checkpoint=first, config=config),
        Silent(),
    )
    assert rounds[0].incumbent == str(first)
    assert rounds[1].gate is None
    assert rounds[1].incumbent == rounds[1].learner != rounds[0].incumbent


def test_a_run_needs_something_to_begin_with(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="--initial-data"):
        run_online(request(tmp_path / "run", tmp_path, initial_data=()), Silent())
    with pytest.raises(CheckpointError, match="leave --resume out"):
        run_online(request(tmp_path / "run", tmp_path, resume=True), Silent())


def test_the_picture_is_drawn_from_the_results_file(
    finished: tuple[Path, list[RoundResult]], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    picture = plot_runs({"one": finished[0]}, tmp_path / "returns.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
