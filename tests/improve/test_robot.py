"""A robot that runs elsewhere: which of its episodes a run takes, and what a kill leaves."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest
import yaml

from gac_ros import messages
from gac_ros.buffer.label import Label, label_episode
from gac_ros.buffer.reader import read_metadata
from gac_ros.buffer.retention import RetentionPolicy, prune
from gac_ros.buffer.summary import list_episodes
from gac_ros.buffer.writer import replace_metadata
from gac_ros.checkpoint import load_checkpoint, save_checkpoint
from gac_ros.deployment.crew import Follower
from gac_ros.deployment.folder import DeploymentFolder, name_checkpoint
from gac_ros.deployment.state import Comparison, episode_over, mode_of_next
from gac_ros.embodiment import find_embodiment
from gac_ros.episode import Episode
from gac_ros.errors import ConfigurationError, OutputError
from gac_ros.evaluation.collect import CollectionRequest, collect
from gac_ros.evaluation.evaluate import describe_actor, make_actor
from gac_ros.evaluation.rollout import run_episode
from gac_ros.files import locked
from gac_ros.improve.loop import run_improve
from gac_ros.improve.robot import RobotCollection, RobotEpisodes
from gac_ros.online.plot import plot_rounds
from gac_ros.online.report import row
from gac_ros.online.request import OnlineRequest
from gac_ros.online.results import RoundResult
from gac_ros.sim import make_robot
from tests.buffer.episode_bags import Trajectory, embodiment, record, script
from tests.disks import small_disk
from tests.improve.test_loop import CONFIG as SIMULATED
from tests.online.small_runs import ROBOT, Silent, kill_at
from tests.toy import untrained_checkpoint

pytestmark = pytest.mark.usefixtures("signals_as_before")
CONFIG = SIMULATED.model_copy(update={"collector": "incumbent"})
NOTHING = RetentionPolicy(max_episodes=0, keep_best=0, keep_newest=0)
PAIRS = CONFIG.model_copy(update={"round_episodes": 2})
ARM = embodiment(**{"return": {"source": "label"}})
TRIAL = CONFIG.deployment.shadow_episodes + CONFIG.deployment.trial_episodes


class Talking(Silent):
    """Keeps what is said, and has something done about it."""

    def __init__(self, heard: Callable[[str], None] = lambda words: None) -> None:
        super().__init__()
        self.said: list[str] = []
        self._heard = heard

    def say(self, words: str) -> None:
        self.said.append(words)
        self._heard(words)


class Robot:
    """A controller in mode auto, without ROS: records into a folder and follows a deployment."""

    def __init__(self, episodes: Path, deployment: Path) -> None:
        self.episodes = episodes
        self._folder = DeploymentFolder(deployment)
        self._robot = make_robot(ROBOT)
        self._follower = Follower(self._folder, self._robot.embodiment, "cpu")
        self._seed = 0

    def run(self) -> None:
        self._seed += 1
        mode = mode_of_next(self._folder.read())
        acting = self._follower.crew().acting
        actor, words = make_actor(acting, mode), describe_actor(acting, mode)
        result = run_episode(self._robot, actor, self._seed, words, directory=self.episodes)
        if mode == "exploit":
            self._tell(acting.digest, result.episode_return)
        else:
            self._follower.explored(acting.digest)

    def _tell(self, digest: str, value: float | None) -> None:
        shadow = Comparison(episode_id="e", steps=1, mean_difference=0.1, largest_difference=0.2)
        on = self._folder.read().stage == "shadow"
        self._follower.episode_over(digest, value, shadow if on else None)


@pytest.fixture
def robot_folder(tmp_path: Path) -> Path:
    """Five episodes of an arm that somebody labelled."""
    folder = tmp_path / "the robot's episodes"
    for number, name in enumerate("abcde"):
        record(folder, name, robot=ARM, episode_return=float(number))
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(untrained_checkpoint(ROBOT), tmp_path_factory.mktemp("first") / "model")


def robot_episodes(folder: Path, out: Path, watch: Talking, **options: object) -> RobotEpisodes:
    settings = {"known": lambda: set(), **options}
    return RobotEpisodes(folder, ARM, out, watch=watch, **settings)


def names(folder: Path) -> list[str]:
    return [row.path.name for row in list_episodes(folder)]


def ids(episodes: list[Episode]) -> list[str]:
    return [e.metadata.episode_id for e in episodes if e.metadata is not None]


def test_each_episode_is_taken_once_the_oldest_first(robot_folder: Path, tmp_path: Path) -> None:
    there, out = names(robot_folder), tmp_path / "run"
    known = {there[0]}
    robot = robot_episodes(robot_folder, out, Talking(), known=lambda: known)
    assert ids(robot.take(out / "round-01" / "episodes", 2)) == there[1:3]
    # Another process of the same run knows what was taken.
    robot = robot_episodes(robot_folder, out, Talking(), known=lambda: known)
    assert ids(robot.take(out / "round-01" / "live", 1)) == there[3:4]
    assert ids(robot.take(out / "round-02" / "episodes")) == there[4:]
    assert robot.take(out / "round-03" / "episodes") == []
    assert names(out / "round-01" / "episodes") == there[1:3]


def test_what_was_taken_outlives_retention_and_a_change_of_label(
    robot_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "round-01" / "episodes"
    robot = robot_episodes(robot_folder, tmp_path / "run", Talking())
    taken = robot.take(folder, 2)
    label_episode(robot_folder / names(robot_folder)[0], Label(episode_return=1e6))
    prune(robot_folder, NOTHING)
    # What comes while nobody looks is held as well, until the run is done.
    record(robot_folder, "f", robot=ARM, episode_return=0.0)
    prune(robot_folder, NOTHING)
    assert names(robot_folder) == ["c", "d", "e", "f"]
    assert ids(robot.take(folder, 2)) == ["c", "d"]
    prune(robot_folder, NOTHING)
    assert names(robot_folder) == ["e", "f"]
    robot.release()
    prune(robot_folder, NOTHING)
    assert names(robot_folder) == []
    left = list_episodes(folder)
    assert [row.state for row in left] == ["complete"] * 4
    assert [row.episode_return for row in left[:2]] == [e.episode_return for e in taken]


def test_what_a_killed_trainer_has_not_taken_is_held_until_it_resumes(
    robot_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run" / "round-01" / "episodes"
    context = multiprocessing.get_context("fork")
    robot = robot_episodes(robot_folder, tmp_path / "run", Talking())
    process = context.Process(target=lambda: (robot.take(folder, 1), os._exit(1)))
    process.start()
    process.join()
    prune(robot_folder, NOTHING)
    assert names(robot_folder) == ["b", "c", "d", "e"]
    robot = robot_episodes(robot_folder, tmp_path / "run", Talking())
    assert ids(robot.take(folder)) == ["b", "c", "d", "e"]
    prune(robot_folder, NOTHING)
    assert names(robot_folder) == []


def test_what_cannot_be_learned_from_is_skipped_and_told_once(
    robot_folder: Path, tmp_path: Path
) -> None:
    changes = ({"recovered": True}, {"outcome": "interrupted"}, {"episode_return": None})
    there = names(robot_folder)
    for name, change in zip(there, changes, strict=False):
        bag = robot_folder / name
        replace_metadata(bag, read_metadata(bag).model_copy(update=change))
    (robot_folder / there[3] / "metadata.yaml").unlink()
    (robot_folder / ".recording" / "cut off").mkdir(parents=True)
    watch = Talking()
    robot = robot_episodes(robot_folder, tmp_path / "run", watch)
    folder = tmp_path / "run" / "round-01" / "episodes"
    assert ids(robot.take(folder)) == there[4:]
    assert robot.take(folder) == []
    reasons = ("cut off", "interrupted", "gac buffer label", "metadata.yaml")
    assert len(watch.said) == len(reasons)
    for words, name, reason in zip(watch.said, there, reasons, strict=False):
        assert words.startswith(f"{name}: skipped: ")
        assert reason in words
    label_episode(robot_folder / there[2], Label(episode_return=3.0))
    (later,) = robot.take(folder)
    assert later.episode_return == 3.0


def test_episodes_of_another_robot_are_skipped(robot_folder: Path, tmp_path: Path) -> None:
    watch = Talking()
    other = find_embodiment("pointmaze_medium")
    robot = RobotEpisodes(robot_folder, other, tmp_path / "run", set, watch)
    assert robot.take(tmp_path / "run" / "round-01" / "episodes") == []
    assert all("embodiment" in words for words in watch.said)
    assert len(watch.said) == 5


def test_a_full_disk_is_one_clear_error_and_leaves_no_half_episode(
    robot_folder: Path, tmp_path: Path
) -> None:
    record(robot_folder, "0", Trajectory.random(20_000), robot=ARM, episode_return=0.0)
    with small_disk(tmp_path / "disk", 1) as disk:
        robot = robot_episodes(robot_folder, disk / "run", Talking())
        folder = disk / "run" / "round-01" / "episodes"
        with pytest.raises(OutputError, match=r"No space left on device.*--resume"):
            robot.take(folder)
        assert names(folder) == []


def test_a_run_that_cannot_be_written_is_one_clear_error(
    robot_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").write_text("")
    robot = robot_episodes(robot_folder, tmp_path / "run", Talking())
    with pytest.raises(OutputError, match="--resume"):
        robot.take(tmp_path / "run" / "round-01" / "episodes")


def test_collecting_waits_for_a_folder_that_is_away_and_says_so(
    robot_folder: Path, first: Path, tmp_path: Path
) -> None:
    """The folder appears, goes away and comes back between two looks."""
    folder, watch = tmp_path / "mount", Talking()
    pauses = iter(
        (
            lambda: shutil.copytree(robot_folder / "b", folder / "b"),
            lambda: shutil.rmtree(folder),
            lambda: shutil.copytree(robot_folder, folder),
        )
    )
    deployment = DeploymentFolder(tmp_path / "deployment")
    deployment.begin(name_checkpoint(first), CONFIG.deployment)
    robot = robot_episodes(folder, tmp_path / "run", watch, rest=lambda seconds: next(pauses)())
    into = tmp_path / "run" / "round-01" / "episodes"
    RobotCollection(robot, deployment).collect("round 1", into, 2, {"explore_raise": 3.0})
    assert names(into) == ["a", "b"]
    assert next(pauses, None) is None
    assert deployment.read().exploration == {"explore_raise": 3.0}
    assert "mode:=auto" in watch.said.pop(0)
    assert watch.said == [
        f"{folder}: is not there yet",
        f"waiting for 2 more episodes in the robot's folder {folder}",
    ]


def request(out: Path, first: Path, folder: Path, **changes: object) -> OnlineRequest:
    settings = {"robot": ROBOT, "out": out, "config": CONFIG, "checkpoint": first, **changes}
    return OnlineRequest(**{"robot_episodes": folder, **settings})


def improve(
    out: Path, first: Path, folder: Path, watch: Silent, **changes: object
) -> list[RoundResult]:
    return run_improve(request(out, first, folder, **changes), out / "deployment", watch)


def go_on(out: Path, first: Path, folder: Path, watch: Silent) -> None:
    """Begin the run, or resume it; called by `kill_at`."""
    resume = (out / "run.json").exists()
    improve(out, first, folder, watch, config=PAIRS, resume=resume)


def test_a_robot_is_followed_through_two_rounds(first: Path, tmp_path: Path) -> None:
    """The robot runs an episode whenever the trainer says that it waits, or sees one taken."""
    out, robot_folder = tmp_path / "a run", tmp_path / "robot"
    collect(CollectionRequest(ROBOT, "random", 2, robot_folder))
    before = names(robot_folder)
    robots: list[Robot] = []

    def run(words: str) -> None:
        if not robots:
            robots.append(Robot(robot_folder, out / "deployment"))
        if words.startswith("waiting") and "exploitation" in words:
            for _ in range(TRIAL):
                robots[0].run()
        elif words.startswith("waiting"):
            robots[0].run()

    watch = Talking(run)
    rounds = improve(out, first, robot_folder, watch)
    assert any("no gate" in words for words in watch.said)
    assert [r.collection.returns for r in rounds[1:] if r.collection] != []
    assert all(r.live is not None and len(r.live.returns) == 2 for r in rounds[1:])
    assert rounds[2].episodes == 2 + 2 * TRIAL
    collected = [name for n in (1, 2) for name in names(out / f"round-0{n}" / "episodes")]
    live = [name for n in (1, 2) for name in names(out / f"round-0{n}" / "live")]
    assert sorted([*before, *collected, *live]) == names(robot_folder)
    modes = {row.path.name: row.mode for row in list_episodes(robot_folder)}
    assert {modes[name] for name in collected} == {"explore"}
    assert {modes[name] for name in live} == {"exploit"}
    # What the live episodes taught is known to the next round.
    learner = load_checkpoint(out / rounds[2].learner)
    assert learner.lineage.episodes == 1 + TRIAL + 1
    assert DeploymentFolder(out / "deployment").read().acting.digest == rounds[2].incumbent_digest
    shutil.rmtree(robot_folder)
    assert improve(out, first, robot_folder, Silent(), resume=True) == rounds


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"transport": "ros"}, "second controller"),
        ({"config": CONFIG.model_copy(update={"collect": "prior"})}, "leave --collect out"),
        ({"config": SIMULATED}, "leave the setting out"),
    ],
)
def test_options_that_make_no_sense_with_a_robot_are_refused(
    first: Path, tmp_path: Path, changes: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        improve(tmp_path / "run", first, tmp_path, Silent(), **changes)
    assert not (tmp_path / "run").exists()


def test_one_episode_or_a_file_is_no_folder_of_a_robot(
    robot_folder: Path, first: Path, tmp_path: Path
) -> None:
    bag = robot_folder / names(robot_folder)[0]
    for wrong, problem in ((bag, "one episode"), (bag / "metadata.yaml", "no folder")):
        with pytest.raises(ConfigurationError, match=problem):
            improve(tmp_path / "run", first, wrong, Silent())


def test_two_processes_do_not_work_on_one_run(first: Path, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run" / "run.lock"),
        pytest.raises(OutputError, match="another process"),
    ):
        improve(tmp_path / "run", first, tmp_path / "robot", Silent())


def test_a_trainer_that_is_killed_again_and_again_loses_and_doubles_no_episode(
    first: Path, tmp_path: Path
) -> None:
    """The robot goes on while the trainer is away."""
    out, folder = tmp_path / "killed", tmp_path / "robot"
    robots: list[Robot] = []

    def run() -> None:
        if not robots:
            robots.append(Robot(folder, out / "deployment"))
        robots[0].run()

    # When the robot runs an episode, when the trainer is killed, and how many episodes come while
    # it is away.
    for asked, reached, away in (
        ("waiting for 2", "round 1: collecting", 1),
        ("nothing", "round 1: fine-tuning", 0),
        ("episodes of exploitation", "round-01: live", TRIAL - 1),
    ):
        heard = partial(lambda asked, line: run() if asked in line else None, asked)
        kill_at(reached, "tests.improve.test_robot", out, first, folder, heard=heard)
        for _ in range(away):
            run()
    (_, result) = improve(out, first, folder, Silent(), config=PAIRS, resume=True)
    there = names(folder)
    assert names(out / "round-01" / "episodes") == there[:2]
    assert names(out / "round-01" / "live") == there[2:]
    assert len(there) == result.episodes == 2 + TRIAL
    assert result.live is not None
    assert len(result.live.returns) == CONFIG.deployment.trial_episodes


def test_a_robot_without_a_simulator_is_guarded_by_shadow_and_trial(tmp_path: Path) -> None:
    """Its plans come from another model, and from none."""
    out, folder, robot = tmp_path / "run", tmp_path / "robot", tmp_path / "arm.yaml"
    robot.write_text(yaml.safe_dump(ARM.to_dict()))
    first = save_checkpoint(untrained_checkpoint(ARM), tmp_path / "first")
    deployment = DeploymentFolder(out / "deployment")
    mode = iter(["explore"] * 2 + ["exploit"] * TRIAL)
    number = count()

    def run(words: str) -> None:
        if not words.startswith("waiting"):
            return
        for _ in range(TRIAL if "exploitation" in words else 2):
            index = next(number)
            roles = list(script(Trajectory.random(20, index)))
            if index == 1:
                roles[0] = ("plan", messages.string(json.dumps({"z0": [[1.0]], "z": [[1.0]]})))
            acting = deployment.read().acting.digest
            known = {"mode": next(mode), "seed": 7, "checkpoint_digest": acting}
            name = f"episode-{index}"
            record(folder, name, robot=ARM, roles=roles, steps=20, episode_return=index, **known)
            if "exploitation" in words:
                shadow = Comparison(
                    episode_id=name, steps=20, mean_difference=0.1, largest_difference=0.1
                )
                over = partial(episode_over, acted=acting, episode_return=float(index))
                deployment.change(partial(over, comparison=shadow))

    watch = Talking(run)
    changes = {"robot": str(robot), "config": PAIRS.model_copy(update={"gate_episodes": 2})}
    rounds = improve(out, first, folder, watch, **changes)
    assert any("has no simulator" in words for words in watch.said)
    assert any("no gate" in words for words in watch.said)
    assert rounds[1].gate is rounds[1].exploitation is None
    assert rounds[1].collection is not None
    assert rounds[1].collection.returns == [0.0, 1.0]
    # All have the same seed, and none is lost for it.
    assert rounds[1].live is not None
    assert rounds[1].live.former_returns == [2.0, 3.0]
    assert rounds[1].live.returns == [4.0, 5.0]
    assert row(rounds[1])[-2:] == ["–", "–"]
    assert plot_rounds([("run", rounds)], tmp_path / "returns.png").exists()
    assert improve(out, first, folder, Silent(), resume=True, **changes) == rounds
