"""Bag to Minari or LeRobot and back: what comes back is what went."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import episode_bags
import exchanges as x
import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gac_ros import messages
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.exchange.episodes import Exchanged
from gac_ros.buffer.importing.step_bag import StepBagWriter, StepEpisode
from gac_ros.buffer.reader import read_episode, read_metadata
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, EmbodimentError, EpisodeError, OutputError
from gac_ros.evaluation.collect import CollectionRequest, collect

FORMATS = sorted(x.WRITERS)
numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@st.composite
def recordings(draw: st.DrawFn) -> tuple[episode_bags.Trajectory, dict[str, Any]]:
    steps = draw(st.integers(1, 6))
    trajectory = episode_bags.Trajectory(
        observations=draw(arrays(np.float64, (steps + 1, 3), elements=numbers)),
        actions=draw(arrays(np.float64, (steps, 2), elements=st.floats(-1.0, 1.0))),
        rewards=draw(arrays(np.float64, steps, elements=numbers)),
        sources=draw(st.lists(st.integers(0, 1), min_size=steps, max_size=steps)),
    )
    metadata = draw(
        st.fixed_dictionaries(
            {
                "seed": st.none() | st.integers(0, 2**53),
                "terminated": st.booleans(),
                "truncated": st.booleans(),
                "episode_return": st.none() | finite,
                "outcome": st.sampled_from(["unknown", "success", "failure", "interrupted"]),
                "policy": st.sampled_from(["gac", "waypoint", "a policy of Zoë's"]),
                "predicted_return": st.none() | finite,
                "lock_step": st.booleans(),
                "safe_actions": st.integers(0, 3),
                "duration": st.floats(0.0, 1e4),
                "source": st.none() | st.just({"file": "elsewhere", "episode": 3}),
                "checkpoint_digest": st.none() | st.just("0" * 64),
            }
        )
    )
    return trajectory, metadata


@pytest.mark.parametrize("format_", FORMATS)
@given(made=st.lists(recordings(), min_size=1, max_size=3))
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_episodes_come_back_to_the_last_bit(
    format_: str, made: list[tuple[episode_bags.Trajectory, dict[str, Any]]]
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        bags = [
            episode_bags.record(folder / "bags", f"episode-{number}", trajectory, **metadata)
            for number, (trajectory, metadata) in enumerate(made)
        ]
        report = x.there(format_, bags, folder / "data set")
        assert (report.episodes, report.left_out) == (len(bags), ())
        x.back(format_, folder / "data set", folder / "back")
        for bag in bags:
            x.same_episode(bag, folder / "back" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_second_round_changes_nothing_more(tmp_path: Path, format_: str) -> None:
    bag = episode_bags.record(tmp_path / "bags")
    x.there(format_, [bag], tmp_path / "one")
    x.back(format_, tmp_path / "one", tmp_path / "first")
    x.there(format_, [tmp_path / "first" / bag.name], tmp_path / "two")
    x.back(format_, tmp_path / "two", tmp_path / "second")

    first, second = (read_metadata(tmp_path / name / bag.name) for name in ("first", "second"))
    assert first == second
    assert first.source is not None
    assert first.source["file"] == ("arm-test-v0" if format_ == "minari" else "one")
    x.same_episode(bag, tmp_path / "second" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("robot", ["hopper", "pointmaze_umaze"])
def test_episodes_of_the_packaged_robots_come_back(
    tmp_path: Path, format_: str, robot: str
) -> None:
    results = collect(CollectionRequest(robot, "random", 2, tmp_path / "bags"))
    bags = [result.bag for result in results if result.bag is not None]
    x.there(format_, bags, tmp_path / "set")
    report = x.back(format_, tmp_path / "set", tmp_path / "back", find_embodiment(robot))

    assert report.imported == 2
    for bag in bags:
        x.same_episode(bag, tmp_path / "back" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
def test_plans_that_were_made_on_the_way_keep_their_places(tmp_path: Path, format_: str) -> None:
    roles = list(episode_bags.script(episode_bags.Trajectory.random(5)))
    roles.insert(10, ("plan", messages.string('{"mode": "explore", "z": [1.5]}')))
    bag = episode_bags.record(tmp_path / "bags", roles=roles, steps=5)
    x.there(format_, [bag], tmp_path / "set")
    x.back(format_, tmp_path / "set", tmp_path / "back")
    assert [each for each in x.plans(bag) if each != "decision"][1]["mode"] == "explore"
    x.same_episode(bag, tmp_path / "back" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize(
    ("kind", "joints"),
    [
        ("sensor_msgs/msg/JointState", ("shoulder", "elbow")),
        ("trajectory_msgs/msg/JointTrajectory", ("shoulder", "elbow")),
        ("geometry_msgs/msg/Twist", ("linear.x", "angular.z")),
    ],
)
def test_commands_of_every_kind_come_back(
    tmp_path: Path, format_: str, kind: str, joints: tuple[str, str]
) -> None:
    units = ("m/s", "rad/s") if "Twist" in kind else ("N*m", "N*m")
    fields = [
        {"joint": joint, "unit": unit, "limits": [-2.0, 2.0]}
        for joint, unit in zip(joints, units, strict=True)
    ]
    robot = episode_bags.embodiment(
        action={"topic": "commands", "type": kind, "interface": "effort", "fields": fields},
        **{"return": {"source": "label"}},
        episode_end_topic="episode_end",
    )
    steps = np.random.default_rng(0)
    episode = StepEpisode(
        steps.normal(size=(5, 3)), steps.uniform(-1, 1, (4, 2)), None, True, False
    )
    writer = StepBagWriter(robot, tmp_path / "bags")
    known = episode_bags.metadata(
        robot, "a", 4, topics=writer.topics(episode), terminated=True, truncated=False
    )
    bag = writer.write(episode, known)
    x.there(format_, [bag], tmp_path / "set")
    x.back(format_, tmp_path / "set", tmp_path / "back", robot)
    x.same_episode(bag, tmp_path / "back" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
def test_rewards_that_nobody_recorded_do_not_become_zeros(tmp_path: Path, format_: str) -> None:
    roles = [
        (role, message)
        for role, message in episode_bags.script(episode_bags.Trajectory.random(4))
        if role != "reward"
    ]
    topics = {role: topic for role, topic in episode_bags.TOPICS.items() if role != "reward"}
    bag = episode_bags.record(tmp_path / "bags", roles=roles, steps=4, topics=topics)
    x.there(format_, [bag], tmp_path / "set")
    x.back(format_, tmp_path / "set", tmp_path / "back")
    x.same_episode(bag, tmp_path / "back" / bag.name)


def change_a_reward(format_: str, dataset: Path) -> None:
    """Of the first episode, as a user of the other format would."""
    if format_ == "minari":
        with h5py.File(next(dataset.rglob("*.hdf5")), "r+") as file:
            file["episode_0"]["rewards"][2] += 10.0
        return
    file = dataset / "data" / "chunk-000" / "file-000.parquet"
    table = pq.read_table(file)
    rewards = table["next.reward"].to_pylist()
    rewards[2] += 10.0
    place = table.column_names.index("next.reward")
    pq.write_table(table.set_column(place, "next.reward", [rewards]), file)


@pytest.mark.parametrize("format_", FORMATS)
def test_an_episode_that_was_changed_comes_as_a_new_one(tmp_path: Path, format_: str) -> None:
    bags = [episode_bags.record(tmp_path / "bags", name) for name in ("a", "b")]
    x.there(format_, bags, tmp_path / "set")
    change_a_reward(format_, tmp_path / "set")

    report = x.back(format_, tmp_path / "set", tmp_path / "back")

    x.same_episode(bags[1], tmp_path / "back" / "b")
    assert not (tmp_path / "back" / "a").exists()
    opened = EpisodeBuffer.open(tmp_path / "back")
    (changed,) = (e for name, e in zip(opened.ids, opened, strict=True) if name != "b")
    before = read_episode(bags[0])
    assert changed.episode_return == pytest.approx(before.rewards.sum() + 10.0)
    np.testing.assert_array_equal(changed.actions, before.actions)
    assert sum("1 episodes were changed since gac_ros wrote them" in x for x in report.losses) == 1


@pytest.mark.parametrize("format_", FORMATS)
def test_exports_from_before_numbers_were_noted_down_can_be_read(
    tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = episode_bags.record(tmp_path / "bags")
    now = Exchanged.own
    with monkeypatch.context() as patch:
        before = {"metadata", "plans", "rewards_recorded"}
        patch.setattr(
            Exchanged,
            "own",
            property(lambda self: {k: v for k, v in now.fget(self).items() if k in before}),
        )
        x.there(format_, [bag], tmp_path / "set")

    x.back(format_, tmp_path / "set", tmp_path / "back")

    x.same_episode(bag, tmp_path / "back" / bag.name)


@pytest.mark.parametrize("format_", FORMATS)
def test_returns_that_another_format_does_not_know_are_named(tmp_path: Path, format_: str) -> None:
    trajectory = episode_bags.Trajectory.random(5)
    total = float(trajectory.rewards.sum())
    roles = [each for each in episode_bags.script(trajectory) if each[0] != "reward"]
    topics = {role: topic for role, topic in episode_bags.TOPICS.items() if role != "reward"}
    right = episode_bags.record(tmp_path, "right", trajectory, episode_return=total)
    labelled = episode_bags.record(tmp_path, "labelled", trajectory, episode_return=total + 1.0)
    silent = episode_bags.record(tmp_path, "silent", roles=roles, steps=5, topics=topics)

    assert not any("return" in loss for loss in x.there(format_, [right], tmp_path / "x").losses)
    losses = x.there(format_, [right, labelled, silent], tmp_path / "y").losses

    assert "1 episodes have no rewards: zeros are written" in losses
    assert any("1 episodes: the return is not the sum of the rewards" in each for each in losses)


def test_an_export_calls_no_function_that_a_bag_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    monkeypatch.setattr("tests.toy.score", called.append, raising=False)
    robot = episode_bags.embodiment(
        **{"return": {"source": "function", "function": "tests.toy:score"}}
    )
    topics = {role: topic for role, topic in episode_bags.TOPICS.items() if role != "reward"}
    roles = [e for e in episode_bags.script(episode_bags.Trajectory.random(5)) if e[0] != "reward"]
    bag = episode_bags.record(
        tmp_path / "bags", robot=robot, roles=roles, steps=5, topics=topics, episode_return=None
    )

    x.there("lerobot", [bag], tmp_path / "set")

    assert called == []


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_there_already_is_left_alone(tmp_path: Path, format_: str) -> None:
    bags = [episode_bags.record(tmp_path / "bags", name) for name in ("a", "b", "c")]
    x.there(format_, bags, tmp_path / "set")
    assert x.back(format_, tmp_path / "set", tmp_path / "out", limit=1).imported == 1
    rest = x.back(format_, tmp_path / "set", tmp_path / "out")
    assert (rest.imported, rest.present) == (2, 1)
    with pytest.raises(OutputError, match="holds all 3 episodes"):
        x.back(format_, tmp_path / "set", tmp_path / "out")


@pytest.mark.parametrize("format_", FORMATS)
def test_damaged_bags_are_left_out_and_told(tmp_path: Path, format_: str) -> None:
    bags = [episode_bags.record(tmp_path / "bags", name) for name in ("a", "b")]
    (bags[0] / "a_0.mcap").write_bytes(b"broken")
    report = x.there(format_, bags, tmp_path / "set")
    assert report.episodes == 1
    assert "does not match its SHA-256" in report.left_out[0]

    with pytest.raises(EpisodeError, match=r"no episode can be exported; the first: .*SHA-256"):
        x.there(format_, bags[:1], tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bags", "set"]


@pytest.mark.parametrize("format_", FORMATS)
def test_nothing_is_overwritten_and_nothing_half_appears(tmp_path: Path, format_: str) -> None:
    bag = episode_bags.record(tmp_path / "bags")
    other = episode_bags.embodiment(control_rate=20.0)
    foreign = episode_bags.record(tmp_path / "bags", "foreign", robot=other)
    with pytest.raises(EmbodimentError, match="recorded with another embodiment"):
        x.there(format_, [bag, foreign], tmp_path / "set")
    assert [path.name for path in tmp_path.iterdir()] == ["bags"]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "precious").write_text("")
    with pytest.raises(OutputError, match="is there already"):
        x.there(format_, [bag], tmp_path / "set")


@pytest.mark.parametrize("format_", FORMATS)
def test_another_robot_is_refused_with_the_differences(tmp_path: Path, format_: str) -> None:
    x.there(format_, [episode_bags.record(tmp_path / "bags")], tmp_path / "set")
    other = episode_bags.embodiment(control_rate=20.0)
    with pytest.raises(EmbodimentError, match=r"control_rate: 20\.0 against 50\.0"):
        x.back(format_, tmp_path / "set", tmp_path / "out", other)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format_", FORMATS)
def test_damaged_data_sets_are_refused(tmp_path: Path, format_: str) -> None:
    x.there(format_, [episode_bags.record(tmp_path / "bags")], tmp_path / "set")
    files = sorted(path for path in (tmp_path / "set").rglob("*") if path.is_file())
    unused = ("stats.json", "tasks.parquet", "gac.json")
    for file in (file for file in files if file.name not in unused):
        for share in (0, 30, 60, 95):
            whole = file.read_bytes()
            file.write_bytes(whole[: len(whole) * share // 100])
            with pytest.raises((EpisodeError, ConfigurationError)):
                x.back(format_, tmp_path / "set", tmp_path / "out")
            file.write_bytes(whole)
        hidden = shutil.move(file, tmp_path / "hidden")
        with pytest.raises((EpisodeError, ConfigurationError)):
            x.back(format_, tmp_path / "set", tmp_path / "out")
        shutil.move(hidden, file)
    assert not (tmp_path / "out").exists()
