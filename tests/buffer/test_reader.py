"""A bag becomes the episode that was driven, or one clear error; never a wrong number."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from episode_bags import (
    PLAN,
    TOPICS,
    TYPES,
    Trajectory,
    command,
    decision,
    embodiment,
    joint_states,
    metadata,
    observation_messages,
    odometry,
    record,
    script,
    write_messages,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.rosbag2 import StoragePlugin, Writer

from gac_ros import messages
from gac_ros.buffer.reader import (
    RecordedMessage,
    read_episode,
    read_messages,
    read_metadata,
    read_plan,
    verify,
)
from gac_ros.buffer.writer import EpisodeWriter
from gac_ros.episode import Episode
from gac_ros.errors import EmbodimentError, EpisodeError

Roles = list[tuple[str, Any]]


@pytest.mark.parametrize("steps", [1, 2, 20, 500])
def test_an_episode_comes_back_as_it_was_driven(tmp_path: Path, steps: int) -> None:
    trajectory = Trajectory.random(steps)

    episode = read_episode(record(tmp_path, "episode", trajectory))

    np.testing.assert_array_equal(episode.observations, trajectory.observations)
    np.testing.assert_array_equal(episode.actions, trajectory.actions)
    np.testing.assert_array_equal(episode.rewards, trajectory.rewards)
    assert episode.valid.all()
    assert (episode.terminated, episode.truncated) == (False, True)


def test_metadata_comes_back_as_it_was_written(tmp_path: Path) -> None:
    known = metadata(
        embodiment(),
        "episode",
        5,
        episode_return=0.1 + 0.2,
        checkpoint="a'b\n\"ü: #{}",
        terminated=True,
        truncated=False,
        outcome="success",
    )
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    write_messages(writer, list(script(Trajectory.random(5))))
    bag = writer.commit(known)

    assert read_metadata(bag) == known
    assert verify(bag) == known
    assert read_episode(bag).metadata == known


def test_the_last_plan_comes_back(tmp_path: Path) -> None:
    later = {"mode": "explore", "z": [3.0]}
    roles = [*script(Trajectory.random(2)), ("plan", messages.string(json.dumps(later)))]

    assert read_plan(record(tmp_path, "one", Trajectory.random(2))) == PLAN
    assert read_plan(record(tmp_path, "two", roles=roles, steps=2)) == later


def test_an_episode_without_a_plan_has_none(tmp_path: Path) -> None:
    roles = [role for role in script(Trajectory.random(2)) if role[0] != "plan"]
    without = {key: value for key, value in TOPICS.items() if key != "plan"}

    assert read_plan(record(tmp_path, "one", roles=roles, steps=2)) is None
    assert read_plan(record(tmp_path, "two", roles=roles, steps=2, topics=without)) is None


@pytest.mark.parametrize("text", ["{", "[1]", "null"])
def test_a_plan_that_is_no_json_object_is_an_error(tmp_path: Path, text: str) -> None:
    bag = record(tmp_path, roles=[("plan", messages.string(text))], steps=1)

    with pytest.raises(EpisodeError, match=r"episode: the plan is not"):
        read_plan(bag)


# --- which message belongs to which step ---------------------------------------------------------


def observed(*values: float) -> Roles:
    return observation_messages(np.array(values))


def commanded(*values: float) -> tuple[str, Any]:
    return command(np.array(values))


def reward(value: float) -> tuple[str, Any]:
    return "reward", messages.float64(value)


def test_the_observation_of_a_step_is_the_newest_at_its_command(tmp_path: Path) -> None:
    roles = [
        *observed(1, 1, 1),
        *observed(2, 2, 2),
        commanded(0.1, 0.1),
        ("odom", odometry(3.0)),
        decision(0),
        ("odom", odometry(4.0)),
        commanded(0.2, 0.2),
        decision(1),
        ("odom", odometry(5.0)),
    ]

    episode = read_episode(record(tmp_path, roles=roles, steps=2))

    assert episode.observations.tolist() == [[2, 2, 2], [2, 2, 4], [2, 2, 5]]


def test_rewards_belong_to_the_step_whose_command_came_last(tmp_path: Path) -> None:
    roles = [
        *observed(1, 1, 1),
        reward(100.0),  # before the first step: of no step
        commanded(0.1, 0.1),
        reward(1.0),  # even before its decision
        decision(0),
        reward(2.0),
        reward(4.0),
        commanded(0.2, 0.2),
        decision(1),
        commanded(0.3, 0.3),  # without a decision: the safe action at the end, no step
        reward(8.0),
    ]

    episode = read_episode(record(tmp_path, roles=roles, steps=2))

    assert episode.rewards.tolist() == [7.0, 8.0]
    assert episode.episode_return == 15.0


def test_a_command_without_a_decision_is_no_step(tmp_path: Path) -> None:
    roles = [
        *observed(1, 1, 1),
        commanded(0.1, 0.1),
        *observed(2, 2, 2),
        commanded(0.2, 0.2),
        decision(0),
        commanded(0.3, 0.3),
    ]

    episode = read_episode(record(tmp_path, roles=roles, steps=1))

    assert episode.actions.tolist() == [[0.2, 0.2]]
    assert episode.observations[0].tolist() == [2, 2, 2]


def test_a_bag_without_a_decision_topic_takes_each_command_as_a_step(tmp_path: Path) -> None:
    trajectory = Trajectory.random(4)
    roles = [role for role in script(trajectory) if role[0] != "decision"]
    topics = {key: value for key, value in TOPICS.items() if key != "decision"}

    episode = read_episode(record(tmp_path, roles=roles, steps=4, topics=topics))

    np.testing.assert_array_equal(episode.observations, trajectory.observations)
    np.testing.assert_array_equal(episode.actions, trajectory.actions)
    np.testing.assert_array_equal(episode.rewards, trajectory.rewards)
    assert episode.valid.all()


def test_steps_of_the_safe_action_are_kept_but_not_valid(tmp_path: Path) -> None:
    trajectory = Trajectory.random(4)
    trajectory.sources = [0, 1, 0, 1]

    episode = read_episode(record(tmp_path, "episode", trajectory))

    assert episode.valid.tolist() == [True, False, True, False]
    np.testing.assert_array_equal(episode.actions, trajectory.actions)


def test_what_was_never_heard_or_is_nan_is_filled_and_its_step_not_valid(tmp_path: Path) -> None:
    nan = float("nan")
    roles = [
        ("joint_states", joint_states(1.0, 2.0)),
        commanded(0.1, 0.1),  # odom was not heard yet
        decision(0, source=1),
        ("odom", odometry(5.0)),
        commanded(0.2, 0.2),
        decision(1),
        ("joint_states", joint_states(nan, 4.0)),
        commanded(0.3, 0.3),
        decision(2, source=1),
        ("joint_states", joint_states(7.0, float("inf"))),
    ]

    episode = read_episode(record(tmp_path, roles=roles, steps=3))

    assert episode.observations.tolist() == [[1, 1, 5], [1, 1, 5], [1, 2, 5], [7, 2, 5]]
    assert episode.valid.tolist() == [False, True, False]


def test_a_channel_that_was_never_heard_is_zero_and_no_step_valid(tmp_path: Path) -> None:
    roles = [("odom", odometry(5.0)), commanded(0.1, 0.1), decision(0)]

    episode = read_episode(record(tmp_path, roles=roles, steps=1))

    assert episode.observations.tolist() == [[0, 0, 5], [0, 0, 5]]
    assert episode.valid.tolist() == [False]


def test_a_command_that_is_not_finite_becomes_the_safe_action_of_an_invalid_step(
    tmp_path: Path,
) -> None:
    roles = [*observed(1, 1, 1), commanded(float("nan"), 0.5), decision(0)]

    episode = read_episode(record(tmp_path, roles=roles, steps=1))

    assert episode.actions.tolist() == [[0.0, 0.5]]
    assert episode.valid.tolist() == [False]


def test_a_message_that_lacks_a_joint_leaves_the_older_value_as_it_did_live(
    tmp_path: Path,
) -> None:
    roles = [
        *observed(1, 1, 1),
        ("joint_states", messages.joint_state(0, ["gripper"], position=[9.0])),
        commanded(0.1, 0.1),
        decision(0, source=1),
    ]

    episode = read_episode(record(tmp_path, roles=roles, steps=1))

    assert episode.observations[0].tolist() == [1, 1, 1]


# --- dropped messages ----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", [["commands"], ["decision"], ["commands", "decision"]])
def test_steps_that_the_recorder_lost_keep_their_place_as_invalid_ones(
    tmp_path: Path, lost: list[str]
) -> None:
    trajectory = Trajectory.random(6)
    roles = list(script(trajectory))
    for name in lost:  # of steps 2 and 3, and of the last
        places = [index for index, (role, _) in enumerate(roles) if role == name]
        roles = [
            role for index, role in enumerate(roles) if index not in {places[i] for i in (2, 3, 5)}
        ]

    episode = read_episode(record(tmp_path, roles=roles, steps=6, dropped_messages=3 * len(lost)))

    assert episode.valid.tolist() == [True, True, False, False, True, False]
    np.testing.assert_array_equal(episode.actions[episode.valid], trajectory.actions[[0, 1, 4]])
    np.testing.assert_array_equal(
        episode.observations[:-1][episode.valid], trajectory.observations[[0, 1, 4]]
    )
    assert episode.rewards.sum() == pytest.approx(trajectory.rewards.sum())


def test_steps_that_are_missing_without_a_drop_are_an_error(tmp_path: Path) -> None:
    roles = list(script(Trajectory.random(6)))
    short = [role for role in roles if not (role[0] == "decision" and role[1].data[0] == 3)]

    with pytest.raises(EpisodeError, match="although no message was dropped"):
        read_episode(record(tmp_path, "middle", roles=short, steps=6))
    with pytest.raises(EpisodeError, match=r"step 6 is missing although no message was dropped"):
        read_episode(record(tmp_path, "end", roles=roles, steps=7))


@pytest.mark.parametrize("steps", [3, 0])
def test_more_steps_than_the_metadata_says_are_an_error(tmp_path: Path, steps: int) -> None:
    with pytest.raises(EpisodeError, match=r"decision .* came after"):
        read_episode(record(tmp_path, "one", Trajectory.random(6), steps=steps))

    topics = {key: value for key, value in TOPICS.items() if key != "decision"}
    with pytest.raises(EpisodeError, match=rf"holds 6 steps, its metadata says {steps}"):
        read_episode(record(tmp_path, "two", Trajectory.random(6), steps=steps, topics=topics))


@pytest.mark.parametrize("number", [0.5, -1.0, 1e300, float("nan"), float("inf")])
def test_a_decision_that_counts_wrongly_is_an_error(tmp_path: Path, number: float) -> None:
    wrong = ("decision", messages.float64_multi_array([number, 0.0, 0.0, 0.0]))
    roles = [*observed(1, 1, 1), commanded(0.1, 0.1), wrong]

    with pytest.raises(EpisodeError, match="decision"):
        read_episode(record(tmp_path, roles=roles, steps=1))


# --- the return ----------------------------------------------------------------------------------


def test_the_return_in_the_metadata_goes_before_the_sum_of_rewards(tmp_path: Path) -> None:
    trajectory = Trajectory.random(3)

    labelled = read_episode(record(tmp_path, "one", trajectory, episode_return=42.0))
    summed = read_episode(record(tmp_path, "two", trajectory))

    assert labelled.episode_return == 42.0
    assert summed.episode_return == pytest.approx(trajectory.rewards.sum(), abs=1e-12)


def test_an_episode_nobody_labelled_has_no_return(tmp_path: Path) -> None:
    robot = embodiment(**{"return": {"source": "label"}})

    episode = read_episode(record(tmp_path, robot=robot))

    assert episode.episode_return is None
    assert not episode.rewards.any()


def test_a_bag_without_its_reward_topic_has_no_return_instead_of_zero(tmp_path: Path) -> None:
    topics = {key: value for key, value in TOPICS.items() if key != "reward"}

    assert read_episode(record(tmp_path, topics=topics)).episode_return is None


@pytest.fixture
def scoring(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Episode], Any]], Any]:
    def install(function: Callable[[Episode], Any]) -> Any:
        module = ModuleType("scores_of_a_test")
        module.score = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "scores_of_a_test", module)
        return embodiment(
            **{"return": {"source": "function", "function": "scores_of_a_test:score"}}
        )

    return install


def test_a_scoring_function_gives_the_return(tmp_path: Path, scoring: Any) -> None:
    robot = scoring(lambda episode: episode.observations[-1, 0] * 2)
    trajectory = Trajectory.random(3)
    bag = record(tmp_path, "episode", trajectory, robot=robot)

    episode = read_episode(bag, robot)

    assert episode.episode_return == pytest.approx(trajectory.observations[-1, 0] * 2)


def test_a_scoring_function_that_only_the_bag_names_is_never_called(
    tmp_path: Path, scoring: Any
) -> None:
    calls: list[Episode] = []
    bag = record(tmp_path, robot=scoring(calls.append))

    assert read_episode(bag).episode_return is None
    assert calls == []


@pytest.mark.parametrize("wrong", [lambda _: 1 / 0, lambda _: "good", lambda _: None])
def test_a_scoring_function_that_fails_is_named(
    tmp_path: Path, scoring: Any, wrong: Callable[[Episode], Any]
) -> None:
    robot = scoring(wrong)

    with pytest.raises(EpisodeError, match=r"'scores_of_a_test:score' failed.*mend it"):
        read_episode(record(tmp_path, robot=robot), robot)


def test_a_scoring_function_that_does_not_exist_is_named(tmp_path: Path) -> None:
    robot = embodiment(**{"return": {"source": "function", "function": "no_such_module:score"}})

    with pytest.raises(EpisodeError, match=r"no_such_module:score.*ModuleNotFoundError"):
        read_episode(record(tmp_path, robot=robot), robot)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_return_or_a_reward_that_is_not_finite_is_an_error(tmp_path: Path, value: float) -> None:
    trajectory = Trajectory.random(3)

    with pytest.raises(EpisodeError, match="the return is"):
        read_episode(record(tmp_path, "one", trajectory, episode_return=value))
    trajectory.rewards[1] = value
    with pytest.raises(EpisodeError, match="a reward is"):
        read_episode(record(tmp_path, "two", trajectory))


# --- bags that are not what they should be -------------------------------------------------------


def test_another_embodiment_is_refused_by_name_of_what_differs(tmp_path: Path) -> None:
    bag = record(tmp_path)

    with pytest.raises(EmbodimentError, match=r"episode: .*another embodiment.*control_rate: 60"):
        read_episode(bag, embodiment(control_rate=60.0))


def test_another_description_is_no_other_embodiment(tmp_path: Path) -> None:
    assert len(read_episode(record(tmp_path), embodiment(description="An arm."))) == 5


def test_a_missing_bag_is_one_clear_error(tmp_path: Path) -> None:
    for read in (read_metadata, read_messages, read_plan, read_episode, verify):
        with pytest.raises(EpisodeError, match=r"absent: metadata\.yaml cannot be read .*check"):
            read(tmp_path / "absent")


def test_a_bag_without_its_mcap_file_is_one_clear_error(tmp_path: Path) -> None:
    bag = record(tmp_path)
    (bag / "episode_0.mcap").unlink()

    assert read_metadata(bag).episode_id == "episode"
    with pytest.raises(EpisodeError, match=r"episode_0\.mcap cannot be read"):
        read_episode(bag)


def test_a_bag_of_someone_else_is_told_as_such(tmp_path: Path) -> None:
    with Writer(tmp_path / "other", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(
            "/value", messages.FLOAT64, typestore=messages.typestore()
        )
        writer.write(connection, 1, messages.serialize(messages.float64(1.0)))

    with pytest.raises(EpisodeError, match=r"other: not an episode of gac_ros"):
        read_episode(tmp_path / "other")


def test_a_bag_with_the_messages_of_another_one_is_refused(tmp_path: Path) -> None:
    one = record(tmp_path, "one", Trajectory.random(5, seed=1))
    two = record(tmp_path, "two", Trajectory.random(5, seed=2))
    shutil.copy(two / "two_0.mcap", one / "one_0.mcap")

    with pytest.raises(EpisodeError, match="does not match its SHA-256"):
        read_episode(one)


def edit(bag: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = bag / "metadata.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(content["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def set_metadata(information: dict[str, Any], text: str, digest: str | None = None) -> None:
    information["custom_data"]["gac.metadata"] = text
    information["custom_data"]["gac.metadata_sha256"] = (
        hashlib.sha256(text.encode()).hexdigest() if digest is None else digest
    )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda information: information.update(message_count=1), "promises 1"),
        (lambda information: information.update(message_count="many"), r"metadata\.yaml is not"),
        (lambda information: information.update(storage_identifier="sqlite3"), "one MCAP file"),
        (lambda information: information.update(relative_file_paths=[]), "one MCAP file"),
        (lambda information: information.update(relative_file_paths=["a", "b"]), "one MCAP file"),
        (
            lambda information: information.update(relative_file_paths=["../two/two_0.mcap"]),
            "one MCAP file",
        ),
        (lambda information: information.update(custom_data=None), "not an episode of gac_ros"),
        (lambda information: information.update(custom_data="text"), r"metadata\.yaml is not"),
        (lambda information: information["custom_data"].pop("gac.mcap_sha256"), "SHA-256"),
        (lambda information: information["custom_data"].pop("gac.metadata_sha256"), "SHA-256"),
        (lambda information: set_metadata(information, "{}"), "another version of gac_ros"),
        (lambda information: set_metadata(information, "{"), "another version of gac_ros"),
        (lambda information: set_metadata(information, "{}", "0"), "does not match its SHA-256"),
    ],
)
def test_metadata_that_was_tampered_with_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], problem: str
) -> None:
    bag = record(tmp_path)
    edit(bag, change)

    with pytest.raises(EpisodeError, match=f"episode: .*{problem}"):
        read_episode(bag)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\0", "rosbag2_bagfile_information: 3", "!!x"])
def test_metadata_that_is_no_metadata_is_refused(tmp_path: Path, text: str) -> None:
    bag = record(tmp_path)
    (bag / "metadata.yaml").write_text(text, encoding="utf-8")

    with pytest.raises(EpisodeError, match=r"metadata\.yaml is not that of a rosbag2 bag"):
        read_episode(bag)


def test_a_topic_that_the_metadata_does_not_name_is_told(tmp_path: Path) -> None:
    topics = {key: value for key, value in TOPICS.items() if key != "odom"}

    with pytest.raises(EpisodeError, match="names no bag topic for 'odom'"):
        read_episode(record(tmp_path, topics=topics))


def test_a_topic_of_another_type_is_told(tmp_path: Path) -> None:
    topics = {**TOPICS, "odom": "/joint_states", "joint_states": "/odom"}

    with pytest.raises(EpisodeError, match=r"holds .*, the embodiment says"):
        read_episode(record(tmp_path, topics=topics))


def test_an_embodiment_this_version_does_not_know_is_told(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="another version of gac_ros"):
        read_episode(record(tmp_path, embodiment={"name": "arm", "wings": 2}))


def test_a_bag_without_a_step_is_told(tmp_path: Path) -> None:
    with pytest.raises(EpisodeError, match="it holds no step"):
        read_episode(record(tmp_path, roles=observed(1, 1, 1), steps=0))


def test_a_message_that_is_not_what_its_type_says_is_told(tmp_path: Path) -> None:
    writer = EpisodeWriter(tmp_path, "episode", TYPES)
    writer.write("/odom", b"\0\1\0\0nonsense", 0)

    with pytest.raises(EpisodeError, match=r"/odom: 12 bytes are not a valid nav_msgs"):
        read_episode(writer.commit(metadata(embodiment(), "episode", 1)))


def test_an_action_of_another_size_is_told(tmp_path: Path) -> None:
    roles = [*observed(1, 1, 1), commanded(0.1), decision(0)]

    with pytest.raises(EpisodeError, match="has 1 numbers"):
        read_episode(record(tmp_path, roles=roles, steps=1))


# --- damage --------------------------------------------------------------------------------------


class Specimen:
    """A bag to damage, and what it holds while it is whole."""

    def __init__(self, bag: Path) -> None:
        self.bag = bag
        self.files = {path.name: path.read_bytes() for path in sorted(bag.iterdir())}
        self.messages: list[RecordedMessage] = list(read_messages(bag))
        self.episode = read_episode(bag)
        self.plan = read_plan(bag)

    def hurt(self, name: str, content: bytes) -> None:
        for each, original in self.files.items():
            (self.bag / each).write_bytes(content if each == name else original)

    def is_refused_or_equal(self) -> bool:
        try:
            found = list(read_messages(self.bag)), read_plan(self.bag)
            episode = read_episode(self.bag)
        except EpisodeError as error:
            return clear(error, self.bag)
        assert found == (self.messages, self.plan)
        assert episode.metadata == self.episode.metadata
        assert episode.episode_return == self.episode.episode_return
        for name in ("observations", "actions", "rewards", "valid"):
            np.testing.assert_array_equal(getattr(episode, name), getattr(self.episode, name))
        return True


def clear(error: EpisodeError, bag: Path) -> bool:
    """Whether an error is one line that names the bag."""
    return str(bag) in str(error) and "\n" not in str(error)


@pytest.fixture(scope="module")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Specimen:
    directory = tmp_path_factory.mktemp("specimen")
    return Specimen(record(directory, "episode", Trajectory.random(40), episode_return=3.25))


@pytest.mark.parametrize("name", ["episode_0.mcap", "metadata.yaml"])
def test_a_bag_cut_at_any_hundredth_of_its_length_is_refused_or_equal(
    specimen: Specimen, name: str
) -> None:
    whole = specimen.files[name]
    for percent in range(100):
        specimen.hurt(name, whole[: len(whole) * percent // 100])
        assert specimen.is_refused_or_equal()


@pytest.mark.parametrize("name", ["episode_0.mcap", "metadata.yaml"])
@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_a_bag_with_a_flipped_bit_is_refused_or_equal(
    specimen: Specimen, name: str, place: float, bit: int
) -> None:
    content = bytearray(specimen.files[name])
    content[int(place * len(content))] ^= 1 << bit
    specimen.hurt(name, bytes(content))

    assert specimen.is_refused_or_equal()


@pytest.mark.parametrize("name", ["episode_0.mcap", "metadata.yaml"])
@given(
    start=st.floats(0.0, 1.0, exclude_max=True),
    noise=st.binary(min_size=0, max_size=40),
    removed=st.integers(0, 40),
)
@settings(max_examples=100, deadline=None)
def test_a_bag_with_bytes_replaced_inserted_or_removed_is_refused_or_equal(
    specimen: Specimen, name: str, start: float, noise: bytes, removed: int
) -> None:
    content = specimen.files[name]
    at = int(start * len(content))
    specimen.hurt(name, content[:at] + noise + content[at + removed :])

    assert specimen.is_refused_or_equal()


def sign(bag: Path, content: bytes) -> None:
    """Put other messages into a bag, and their digest with them."""
    digest = {"gac.mcap_sha256": hashlib.sha256(content).hexdigest()}
    (bag / f"{bag.name}_0.mcap").write_bytes(content)
    edit(bag, lambda information: information["custom_data"].update(digest))


def test_a_chunk_that_fails_its_crc_is_refused_even_with_a_matching_digest(
    tmp_path: Path,
) -> None:
    trajectory = Trajectory.random(5)
    bag = record(tmp_path, "episode", trajectory)
    number, other = (np.float64(value).tobytes() for value in (trajectory.rewards[2], 99.0))
    content = (bag / "episode_0.mcap").read_bytes()
    assert content.count(number) == 1
    sign(bag, content.replace(number, other))

    with pytest.raises(EpisodeError, match=r"episode_0\.mcap: crc validation failed"):
        read_episode(bag)


@given(place=st.floats(0.0, 1.0, exclude_max=True), bit=st.integers(0, 7))
@settings(max_examples=100, deadline=None)
def test_damage_that_carries_a_matching_digest_still_ends_in_one_clear_error(
    specimen: Specimen, place: float, bit: int
) -> None:
    """The parser behind the digest must not fall over either, whatever the file holds."""
    content = bytearray(specimen.files["episode_0.mcap"])
    content[int(place * len(content))] ^= 1 << bit
    specimen.hurt("metadata.yaml", specimen.files["metadata.yaml"])
    sign(specimen.bag, bytes(content))
    try:
        assert read_episode(specimen.bag)
    except EpisodeError as error:
        refusal = error
    else:
        return

    assert clear(refusal, specimen.bag)
