"""Recordings become episodes whose steps know nothing of their future."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import episode_bags
import numpy as np
import pytest
import recordings as r

from gac_ros import messages
from gac_ros.buffer.dataset import EpisodeBuffer
from gac_ros.buffer.importing.align import (
    BEYOND,
    BROKEN,
    COMMAND_BROKEN,
    NO_COMMAND,
    NOT_FINITE,
    STALE,
    Alignment,
)
from gac_ros.buffer.importing.cut_recording import CutBy
from gac_ros.buffer.importing.import_recording import RecordingImport, import_recording
from gac_ros.buffer.importing.report import IN_DROPPED, RecordingReport
from gac_ros.buffer.reader import read_episode, read_messages, read_metadata, verify_content
from gac_ros.buffer.writer import RECORDING
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, EmbodimentError, EpisodeError, OutputError
from gac_ros.evaluation.collect import CollectionRequest, collect

SECOND = 1_000_000_000
Drive = list[r.Recorded]


def take(
    tmp_path: Path, made: Drive, *, cut: CutBy | None = None, robot: Any = None, **how: Any
) -> RecordingReport:
    path = tmp_path / "rec"
    if not path.exists():
        r.record(path, r.in_order(made))
    settings = RecordingImport(robot or r.robot(), cut=cut or CutBy(), **how)
    return import_recording(path, tmp_path / "out", settings)


def without(made: Drive, topic: str, start: float = 0.0, end: float = 1e9) -> Drive:
    """The drive without a topic's messages from `start` to `end`, seconds."""
    return [
        each
        for each in made
        if each.topic != topic or not start <= (each.stamp - r.START) / SECOND < end
    ]


def topic_of(made: Drive, topic: str) -> Drive:
    return [each for each in made if each.topic == topic]


def test_each_step_has_the_newest_messages_from_before_its_command(tmp_path: Path) -> None:
    made = r.drive(50)
    (row,) = take(tmp_path, made).episodes
    episode = read_episode(tmp_path / "out" / row.episode_id)

    commands = topic_of(made, "/commands")
    assert (row.steps, row.usable, row.held) == (50, 50, 0)
    decoded = [messages.deserialize(each.data, each.type).data for each in commands]
    np.testing.assert_array_equal(episode.actions, decoded)
    for step, command in enumerate(commands):
        heard = [
            max(each.stamp for each in topic_of(made, topic) if each.stamp <= command.stamp)
            for topic in ("/joint_states", "/odom")
        ]
        joints, odometry = (np.array(heard) - r.START) / SECOND
        np.testing.assert_allclose(
            episode.observations[step], [joints, joints, odometry], rtol=1e-12
        )
    np.testing.assert_array_equal(episode.rewards, np.arange(50.0))
    # The last observation is the outcome of the last command.
    last = (commands[-1].stamp - r.START) / SECOND
    assert last < episode.observations[-1, 0] <= last + 0.03


def test_what_comes_later_changes_nothing_of_what_was_before(tmp_path: Path) -> None:
    made = r.drive(50)
    moment = r.START + 500 * r.MS
    changed = [
        r.recorded(each.topic, episode_bags.odometry(99.0), each.stamp)
        if each.topic == "/odom" and each.stamp > moment
        else each
        for each in made
    ]
    episodes = []
    for name, drive in (("a", made), ("b", changed)):
        (tmp_path / name).mkdir()
        (row,) = take(tmp_path / name, drive).episodes
        episodes.append(read_episode(tmp_path / name / "out" / row.episode_id))
    before = sum(each.stamp <= moment for each in topic_of(made, "/commands"))

    left, right = (episode.observations for episode in episodes)
    np.testing.assert_array_equal(left[:before], right[:before])
    assert (right[before + 2 :, 2] == 50.0).all()  # clipped by the contract


def test_messages_keep_their_bytes_and_times(tmp_path: Path) -> None:
    made = r.drive(20)
    (row,) = take(tmp_path, made).episodes
    bag = tmp_path / "out" / row.episode_id

    found = [(m.topic, m.data) for m in read_messages(bag) if "decision" not in m.topic]
    assert sorted(found) == sorted((each.topic, each.data) for each in made)
    stamps = {m.data: m.stamp for m in read_messages(bag)}
    assert all(abs(stamps[each.data] - each.stamp) < 1000 for each in made)
    assert verify_content(bag) == len(made) + 20


def test_what_is_too_old_cannot_be_learnt_from(tmp_path: Path) -> None:
    (row,) = take(tmp_path, without(r.drive(100), "/odom", 0.5, 1.0)).episodes
    episode = read_episode(tmp_path / "out" / row.episode_id)

    # Odometry may be 0.1 s old.
    assert row.unusable == {STALE: pytest.approx(20, abs=2)}
    assert episode.valid[:29].all()
    assert not episode.valid[31:49].any()
    assert episode.valid[52:].all()
    assert episode.metadata is not None
    assert episode.metadata.safe_actions == row.steps - row.usable == (~episode.valid).sum()


def test_a_pause_of_the_commands_holds_the_last_one_for_a_while(tmp_path: Path) -> None:
    made = without(r.drive(100), "/commands", 0.5, 1.2)
    (row,) = take(tmp_path, made, alignment=Alignment(max_hold=0.4)).episodes
    episode = read_episode(tmp_path / "out" / row.episode_id)

    assert row.steps == 100
    assert row.held == pytest.approx(35, abs=1)
    assert row.unusable == {NO_COMMAND: pytest.approx(15, abs=1)}
    assert (episode.actions[25:44] == episode.actions[24]).all()
    assert episode.valid[:44].all()
    assert not episode.valid[46:59].any()
    # Rewards stay with the time at which they came.
    np.testing.assert_array_equal(episode.rewards[61:], np.arange(61.0, 100.0))


def test_each_command_can_be_a_step(tmp_path: Path) -> None:
    made = r.drive(40, period=7 * r.MS)
    (row,) = take(tmp_path, made, alignment=Alignment(every_command=True)).episodes
    assert (row.steps, row.held) == (40, 0)


def test_faster_commands_stay_in_the_bag_but_are_no_steps(tmp_path: Path) -> None:
    made = r.drive(80, period=10 * r.MS)
    report = take(tmp_path, made)
    (row,) = report.episodes
    episode = read_episode(tmp_path / "out" / row.episode_id)

    assert row.steps == len(episode) == pytest.approx(40, abs=1)
    assert report.topics["/commands"].surplus == pytest.approx(40, abs=1)
    assert report.topics["/commands"].used == 80
    assert episode.rewards.sum() == row.episode_return == sum(range(80))


def test_two_publishers_of_one_topic_do_not_disturb_each_other(tmp_path: Path) -> None:
    gripper = messages.joint_state(0, ["gripper"], position=[0.5])
    other = [
        r.recorded("/joint_states", gripper, stamp + 1)
        for stamp in range(r.START, r.START + SECOND, 50 * r.MS)
    ]
    report = take(tmp_path, r.drive(50) + other)
    assert report.episodes[0].usable == 50
    assert report.topics["/joint_states"].dropped == {BROKEN: 20}


def test_numbers_that_are_none_are_told(tmp_path: Path) -> None:
    made = [
        r.recorded(each.topic, episode_bags.odometry(float("nan")), each.stamp)
        if each.topic == "/odom" and index % 20 == 10
        else each
        for index, each in enumerate(r.drive(100))
    ]
    (row,) = take(tmp_path, made).episodes
    assert set(row.unusable) == {NOT_FINITE}
    assert np.isfinite(read_episode(tmp_path / "out" / row.episode_id).observations).all()


def test_commands_beyond_the_limits_or_of_another_shape_are_told(tmp_path: Path) -> None:
    made = r.drive(50)
    commands = topic_of(made, "/commands")
    replaced = {
        commands[10]: messages.float64_multi_array([0.0, 1.5]),
        commands[20]: messages.float64_multi_array([0.0, float("nan")]),
        commands[30]: messages.float64_multi_array([0.0]),
    }
    made = [
        r.recorded(each.topic, replaced[each], each.stamp) if each in replaced else each
        for each in made
    ]
    (row,) = take(tmp_path, made).episodes
    episode = read_episode(tmp_path / "out" / row.episode_id)

    assert row.unusable == {BEYOND: 2, COMMAND_BROKEN: 1}
    assert np.flatnonzero(~episode.valid).tolist() == [10, 20, 30]


def test_events_cut_and_label(tmp_path: Path) -> None:
    made = [
        *r.drive(25),
        *r.drive(30, r.START + 2 * SECOND, seed=1),
        *r.drive(20, r.START + 4 * SECOND, seed=2),
        r.said("start", r.START + 100 * r.MS),
        r.said("success", r.START + 400 * r.MS),
        r.said("start", r.START + 2 * SECOND - 1),
        r.said("end", r.START + 3 * SECOND),
        r.said("start", r.START + 4 * SECOND - 1),
        r.said("discard", r.START + 5 * SECOND),
    ]
    report = take(tmp_path, made, cut=CutBy(event_topic=r.EVENTS))
    first, second, third = report.episodes

    assert (first.state, first.ending, first.outcome) == ("imported", "terminated", "success")
    assert (second.state, second.steps, second.ending) == ("imported", 30, "truncated")
    assert (third.state, third.problem) == ("left out", "it was discarded when it was recorded")
    assert len(EpisodeBuffer.open(tmp_path / "out")) == 2
    dropped = report.topics["/commands"].dropped
    assert dropped[IN_DROPPED] == 20
    assert sum(dropped.values()) == 20 + (25 - first.steps)


def test_the_embodiments_own_end_cuts_without_being_asked(tmp_path: Path) -> None:
    robot = r.robot(episode_end_topic="episode_end")
    ends = [
        r.recorded("/episode_end", messages.string(word), r.START + at * SECOND)
        for word, at in (("terminated", 1), ("truncated", 3))
    ]
    made = [*r.drive(49), *r.drive(45, r.START + 2 * SECOND, seed=1), *ends]
    report = take(tmp_path, made, robot=robot)

    assert [row.ending for row in report.episodes] == ["terminated", "truncated"]
    episodes = EpisodeBuffer.open(tmp_path / "out", embodiment=robot)
    assert [(e.terminated, e.truncated) for e in episodes] == [(True, False), (False, True)]
    assert report.cut == "events on /episode_end"


def test_our_own_messages_come_back_from_a_recording_of_them(tmp_path: Path) -> None:
    """An episode as `ros2 bag record` would have seen it beside our own recorder."""
    (result,) = collect(CollectionRequest("pointmaze_umaze", "waypoint", 1, tmp_path / "own"))
    assert result.bag is not None
    path = r.record(tmp_path / "rec", [r.Recorded(*each[:4]) for each in read_messages(result.bag)])
    robot = find_embodiment("pointmaze_umaze")
    (row,) = import_recording(path, tmp_path / "out", RecordingImport(robot)).episodes

    before, after = read_episode(result.bag), read_episode(tmp_path / "out" / row.episode_id)
    for name in ("observations", "actions", "rewards", "valid"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert (after.terminated, after.truncated) == (before.terminated, before.truncated)
    assert after.episode_return == pytest.approx(before.episode_return)


def test_a_table_gives_returns(tmp_path: Path) -> None:
    table = tmp_path / "times.csv"
    table.write_text("start,end,return,outcome\n0.2,0.6,7.5,success\n0.7,0.9,,\n")
    report = take(tmp_path, r.drive(50, rewards=False), cut=CutBy(table=table))

    labelled, unlabelled = EpisodeBuffer.open(tmp_path / "out")
    assert (labelled.episode_return, unlabelled.episode_return) == (7.5, None)
    assert not report.has_rewards
    (metadata,) = [labelled.metadata]
    assert metadata is not None
    assert metadata.outcome == "success"
    assert metadata.started.startswith("2023-11-14T22:13:20.")


def test_every_message_is_accounted_for(tmp_path: Path) -> None:
    made = [*r.drive(40), *r.drive(40, r.START + 3 * SECOND, seed=1)]
    image = r.recorded("/camera", messages.string("a picture"), r.START + 5)
    report = take(tmp_path, [*made, image], cut=CutBy(gap=1.0))

    for name, row in report.topics.items():
        assert row.recorded == len(topic_of(made, name)) == row.used + sum(row.dropped.values())
    assert report.unused_topics == {"/camera": 1}
    assert json.loads(json.dumps(report.to_dict()))["episodes"][0]["steps"] == 40


def test_a_namespace_and_other_names_are_found(tmp_path: Path) -> None:
    made = [
        r.recorded("/pose", messages.deserialize(each.data, each.type), each.stamp)
        if each.topic == "/left/odom"
        else each
        for each in r.drive(10, namespace="/left")
    ]
    with pytest.raises(EmbodimentError, match=r"joint_states=/left/joint_states, or --namespace l"):
        take(tmp_path, made)
    with pytest.raises(EmbodimentError, match=r"no message on /left/odom"):
        take(tmp_path, made, namespace="left")
    with pytest.raises(ConfigurationError, match="has no topic 'sonar'"):
        take(tmp_path, made, namespace="left", renamed={"sonar": "/x"})
    (row,) = take(tmp_path, made, namespace="/left/", renamed={"odom": "/pose"}).episodes
    known = read_metadata(tmp_path / "out" / row.episode_id)
    assert known.topics["odom"] == "/pose"
    assert known.topics["commands"] == "/left/commands"


def test_other_messages_than_the_embodiments_are_refused(tmp_path: Path) -> None:
    wrong = [r.recorded("/odom", messages.string("here"), r.START)]
    with pytest.raises(EmbodimentError, match="/odom holds std_msgs/msg/String, the embodiment"):
        take(tmp_path, without(r.drive(10), "/odom") + wrong)


def test_a_type_that_is_defined_otherwise_is_refused(tmp_path: Path) -> None:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg("float32 data", messages.FLOAT64))
    with Writer(tmp_path / "rec", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connections = {
            topic: writer.add_connection(
                topic, kind, typestore=store if topic == "/reward" else messages.typestore()
            )
            for topic, kind in {each.topic: each.type for each in r.drive(1)}.items()
        }
        for each in r.drive(1):
            writer.write(connections[each.topic], each.stamp, each.data)
    with pytest.raises(EmbodimentError, match="/reward holds a std_msgs/msg/Float64 that is defin"):
        take(tmp_path, [])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda made: without(made, "/odom", 0.0, 0.99), "no command between the first complete"),
        (
            lambda made: [
                r.recorded(
                    "/joint_states", messages.joint_state(0, ["hip"], position=[1.0]), e.stamp
                )
                if e.topic == "/joint_states"
                else e
                for e in made
            ],
            "joint elbow, shoulder is missing",
        ),
        (
            lambda made: [
                r.recorded("/commands", messages.float64_multi_array([9.0, 9.0]), e.stamp)
                if e.topic == "/commands"
                else e
                for e in made
            ],
            "no step can be learnt from (command beyond its limits: 50)",
        ),
        (
            lambda made: [
                r.recorded("/reward", messages.float64(float("inf")), e.stamp)
                if e.topic == "/reward"
                else e
                for e in made
            ],
            "a reward is not finite",
        ),
    ],
)
def test_what_teaches_nothing_is_left_out_with_the_reason(
    tmp_path: Path, change: Any, problem: str
) -> None:
    (row,) = take(tmp_path, change(r.drive(50))).episodes
    assert row.state == "left out"
    assert problem in row.problem
    assert list((tmp_path / "out").glob("rec*")) == []


def test_an_import_goes_on_where_it_stopped_and_is_not_repeated(tmp_path: Path) -> None:
    made = [*r.drive(20), *r.drive(20, r.START + 3 * SECOND, seed=1)]
    path = r.record(tmp_path / "rec", r.in_order(made))
    how = RecordingImport(r.robot(), cut=CutBy(gap=1.0))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_recording(path, tmp_path / "out", how, on_episode=stop)
    assert len(EpisodeBuffer.open(tmp_path / "out")) == 1
    assert list((tmp_path / "out" / RECORDING).iterdir()) == []
    report = import_recording(path, tmp_path / "out", how)
    assert [row.state for row in report.episodes] == ["present", "imported"]
    with pytest.raises(OutputError, match="holds all 2 episodes of rec already"):
        import_recording(path, tmp_path / "out", how)
    # Under another name it is the same recording still.
    renamed = path.rename(tmp_path / "other name")
    with pytest.raises(OutputError, match="of the same recording but cut or aligned otherwise"):
        import_recording(renamed, tmp_path / "out", RecordingImport(r.robot(), cut=CutBy(gap=2.0)))


def test_a_rehearsal_writes_nothing(tmp_path: Path) -> None:
    path = r.record(tmp_path / "rec", r.drive(20))
    report = import_recording(path, tmp_path / "out", RecordingImport(r.robot()), dry_run=True)
    assert report.episodes[0].steps == 20
    assert not (tmp_path / "out").exists()


def test_an_event_topic_that_tells_nothing_is_refused(tmp_path: Path) -> None:
    made = [*r.drive(10), r.said("end", r.START + 100 * r.MS)]
    with pytest.raises(EmbodimentError, match=f"no event on /x; .* tell some: {r.EVENTS}"):
        take(tmp_path, made, cut=CutBy(event_topic="/x"))
    with pytest.raises(EmbodimentError, match="/odom holds nav_msgs/msg/Odometry; events are told"):
        take(tmp_path, made, cut=CutBy(event_topic="/odom"))
    with pytest.raises(ConfigurationError, match="only one of them"):
        CutBy(event_topic="/x", gap=1.0)


def test_our_own_episodes_are_told_apart(tmp_path: Path) -> None:
    bag = episode_bags.record(tmp_path)
    with pytest.raises(EpisodeError, match="is an episode of gac_ros already"):
        import_recording(bag, tmp_path / "out", RecordingImport(r.robot()))
