"""The embodiment contract: what is accepted, and how each mistake is told."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gac_ros.embodiment import (
    Embodiment,
    embodiment_from_dict,
    find_embodiment,
    known_robots,
    load_embodiment,
)
from gac_ros.errors import EmbodimentError, GacError, UnknownRobotError

CONTRACT: dict[str, Any] = {
    "name": "arm",
    "control_rate": 50.0,
    "episode_length": 20,
    "observation": [
        {
            "topic": "joint_states",
            "type": "sensor_msgs/msg/JointState",
            "max_age": 0.1,
            "fields": [
                {"select": "position.elbow", "unit": "rad"},
                {"select": "velocity.elbow", "unit": "rad/s", "clip": [-3.0, 3.0]},
            ],
        },
        {
            "topic": "sensors",
            "type": "std_msgs/msg/Float64MultiArray",
            "max_age": 0.1,
            "fields": [{"select": "data.3", "unit": "furlong", "scale": 201.168}],
        },
    ],
    "action": {
        "topic": "commands",
        "type": "std_msgs/msg/Float64MultiArray",
        "interface": "effort",
        "fields": [
            {"joint": "elbow", "unit": "N*m", "limits": [-2.0, 2.0], "rate_limit": 10.0},
            {"joint": "wrist", "unit": "N*m", "limits": [0.5, 2.0], "safe": 0.5},
        ],
    },
    "return": {"source": "reward_topic", "topic": "reward"},
}


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    content = copy.deepcopy(CONTRACT)
    change(content)
    return content


def put(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Set a dotted key; numbers index lists."""

    def apply(content: Any) -> None:
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        for part in parents:
            content = content[part]
        content[last] = value

    return apply


def drop(path: str) -> Callable[[dict[str, Any]], None]:
    def apply(content: Any) -> None:
        *parents, last = (int(part) if part.isdecimal() else part for part in path.split("."))
        for part in parents:
            content = content[part]
        del content[last]

    return apply


def load(tmp_path: Path, content: object) -> Embodiment:
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return load_embodiment(path)


@pytest.mark.parametrize("robot", known_robots())
def test_every_packaged_embodiment_is_valid(robot: str) -> None:
    contract = find_embodiment(robot)

    assert contract.name == robot
    assert contract.observation_size == len(contract.observation_names)
    assert (contract.action_low < contract.action_high).all()
    assert (contract.action_low <= contract.safe_action).all()
    assert (contract.safe_action <= contract.action_high).all()


def test_the_packaged_robots_of_the_main_job_are_there() -> None:
    assert {"pointmaze_umaze", "hopper", "halfcheetah", "walker2d"} <= set(known_robots())


def test_a_contract_says_sizes_names_and_limits_in_file_order(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)

    assert arm.observation_names == (
        "joint_states:position.elbow",
        "joint_states:velocity.elbow",
        "sensors:data.3",
    )
    assert arm.action_names == ("elbow", "wrist")
    assert arm.action_low.tolist() == [-2.0, 0.5]
    assert arm.action_high.tolist() == [2.0, 2.0]
    assert arm.action_max_step.tolist() == [0.2, np.inf]
    assert arm.safe_action.tolist() == [0.0, 0.5]
    assert arm.control_period == 0.02


@pytest.mark.parametrize(("rate", "seconds"), [(200.0, 0.5), (4.0, 0.5), (1.0, 2.0)])
def test_a_slow_control_loop_does_not_stand_still_between_two_of_its_periods(
    tmp_path: Path, rate: float, seconds: float
) -> None:
    arm = load(tmp_path, changed(lambda content: content.update(control_rate=rate)))

    assert arm.longest_stall == seconds


def test_a_contract_survives_a_round_trip_through_plain_data(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)

    again = embodiment_from_dict(arm.to_dict(), origin="again")

    assert again == arm
    assert again.digest == arm.digest
    assert arm.differences(again) == []


def test_a_contract_cannot_be_changed(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)

    with pytest.raises(ValueError, match="frozen"):
        arm.control_rate = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        arm.action_low[0] = -100.0


# What was done to the file; the key the error must name; the remedy it must name.
MISTAKES = {
    "unknown key": (put("controll_rate", 50.0), "controll_rate", "remove it or correct"),
    "unknown key in a field": (
        put("observation.0.fields.0.offset", 1.0),
        "observation.0.fields.0.offset",
        "remove it or correct",
    ),
    "unknown key in an action": (
        put("action.fields.0.limit", [0, 1]),
        "action.fields.0.limit",
        "remove it or correct",
    ),
    "missing key": (drop("control_rate"), "control_rate", "add it"),
    "missing return": (drop("return"), "return", "add it"),
    "missing joint": (drop("action.fields.1.joint"), "action.fields.1.joint", "add it"),
    "missing joint in a select": (
        put("observation.0.fields.0.select", "position."),
        "observation.0",
        "must read position.JOINT",
    ),
    "missing maximum age": (drop("observation.0.max_age"), "observation.0.max_age", "add it"),
    "joint commanded twice": (
        put("action.fields.1.joint", "elbow"),
        "'elbow' appears twice",
        "name each joint once",
    ),
    "field observed twice": (
        put("observation.0.fields.1", {"select": "position.elbow", "unit": "rad"}),
        "'position.elbow' of 'joint_states' appears twice",
        "remove one",
    ),
    "topic observed twice": (
        put("observation.1.topic", "joint_states"),
        "'joint_states' appears twice in 'observation'",
        "under one entry",
    ),
    "topic both observed and commanded": (
        put("action.topic", "sensors"),
        "'sensors'",
        "both observed and commanded",
    ),
    "wrong unit observed": (
        put("observation.0.fields.0.unit", "deg"),
        "position.elbow: unit 'deg'",
        "is not one of rad, m; ROS messages are in SI units (REP-103), use 'scale' to convert",
    ),
    "wrong unit commanded": (
        put("action.fields.0.unit", "rad"),
        "elbow: unit 'rad'",
        "is not one of N*m, N, ratio",
    ),
    "limits the wrong way round": (
        put("action.fields.0.limits", [2.0, -2.0]),
        "action.fields.0: limits of 'elbow' are the wrong way round",
        "the lower limit 2.0 must be below the upper limit -2.0",
    ),
    "limits that leave no room": (
        put("action.fields.0.limits", [1.0, 1.0]),
        "limits of 'elbow'",
        "must be below the upper limit",
    ),
    "clip the wrong way round": (
        put("observation.0.fields.1.clip", [3.0, -3.0]),
        "observation.0.fields.1.clip",
        "the lower bound 3.0 must be below the upper bound -3.0",
    ),
    "safe value outside the limits": (
        put("action.fields.1.safe", 0.0),
        "the safe value 0.0 of 'wrist'",
        "outside its limits [0.5, 2.0]",
    ),
    "scale of zero": (
        put("observation.0.fields.0.scale", 0.0),
        "observation.0.fields.0.scale",
        "remove the field instead",
    ),
    "infinite limit": (
        put("action.fields.0.limits", [-float("inf"), 2.0]),
        "action.fields.0.limits.0",
        "finite",
    ),
    "not a number": (put("control_rate", "fast"), "control_rate", "'fast'"),
    "rate of zero": (put("control_rate", 0.0), "control_rate", "greater than 0"),
    "negative age": (put("observation.0.max_age", -1.0), "observation.0.max_age", "greater than"),
    "negative rate limit": (
        put("action.fields.0.rate_limit", -1.0),
        "action.fields.0.rate_limit",
        "greater than 0",
    ),
    "unknown message type": (
        put("observation.0.type", "sensor_msgs/msg/Image"),
        "observation.0.type",
        "sensor_msgs/msg/JointState",
    ),
    "unknown command type": (
        put("action.type", "std_msgs/msg/Bool"),
        "action.type",
        "std_msgs/msg/Float64MultiArray",
    ),
    "array index that is none": (
        put("observation.1.fields.0.select", "data.first"),
        "observation.1",
        "must read data.INDEX",
    ),
    "nothing observed": (put("observation", []), "observation", "at least 1"),
    "nothing commanded": (put("action.fields", []), "action.fields", "at least 1"),
    "bad name": (put("name", "My Robot"), "name", "pattern"),
    "return without a topic": (
        put("return", {"source": "reward_topic"}),
        "return",
        "needs the key 'topic'",
    ),
    "return with a topic too many": (
        put("return", {"source": "label", "topic": "reward"}),
        "return: 'topic' has no meaning",
        "remove it",
    ),
    "return function without a module": (
        put("return", {"source": "function", "function": "score"}),
        "return: function 'score'",
        "package.module:function",
    ),
}


@pytest.mark.parametrize(("change", "key", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_each_mistake_names_the_file_the_key_and_the_remedy(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], key: str, remedy: str
) -> None:
    with pytest.raises(EmbodimentError) as caught:
        load(tmp_path, changed(change))

    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'robot.yaml'}: ")
    assert key in message
    assert remedy in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("message_type", "select", "unit", "problem"),
    [
        ("nav_msgs/msg/Odometry", "pose.position.x", "m", "pose.pose.position.x"),
        ("nav_msgs/msg/Odometry", "twist.twist.angular.z", "m/s", "rad/s"),
        ("sensor_msgs/msg/Imu", "linear_acceleration.x", "m/s", "m/s^2"),
        ("sensor_msgs/msg/Imu", "acceleration.x", "m/s^2", "linear_acceleration.x"),
        ("geometry_msgs/msg/Twist", "linear.w", "m/s", "linear.x"),
        ("geometry_msgs/msg/PoseStamped", "pose.orientation.w", "rad", "is not one of 1"),
    ],
)
def test_a_field_that_a_message_does_not_have_is_answered_with_those_it_has(
    tmp_path: Path, message_type: str, select: str, unit: str, problem: str
) -> None:
    channel = {
        "topic": "state",
        "type": message_type,
        "max_age": 0.1,
        "fields": [{"select": select, "unit": unit}],
    }

    with pytest.raises(EmbodimentError) as caught:
        load(tmp_path, changed(put("observation.1", channel)))

    assert select in str(caught.value)
    assert problem in str(caught.value)


def test_a_twist_command_names_its_fields_like_the_message(tmp_path: Path) -> None:
    fields = [{"joint": "linear.x", "unit": "m/s", "limits": [-1.0, 1.0]}]
    action = {"topic": "cmd_vel", "type": "geometry_msgs/msg/Twist", "fields": fields}

    assert load(tmp_path, changed(put("action", action))).action_names == ("linear.x",)

    fields[0]["joint"] = "forward"
    with pytest.raises(EmbodimentError, match=r"'forward'.*linear\.x"):
        load(tmp_path, changed(put("action", action)))


def test_a_key_given_twice_is_an_error_although_yaml_allows_it(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(CONTRACT) + "control_rate: 60.0\n", encoding="utf-8")

    with pytest.raises(EmbodimentError, match=r"robot\.yaml.*'control_rate' appears twice"):
        load_embodiment(path)


@pytest.mark.parametrize(
    "content", [b"name: [", b"\xff\xfe\x00", b"", b"- a\n- b\n", b"42", b"? [a]\n: 1", b"&a [*a]"]
)
def test_a_file_that_is_no_mapping_in_yaml_is_one_clear_error(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_bytes(content)

    with pytest.raises(EmbodimentError, match=r"robot\.yaml"):
        load_embodiment(path)


def test_a_missing_file_and_a_folder_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(EmbodimentError, match="check the path"):
        load_embodiment(tmp_path / "absent.yaml")
    with pytest.raises(EmbodimentError, match="check the path"):
        load_embodiment(tmp_path)


def test_an_unknown_robot_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownRobotError, match=r"'hoper'.*hopper.*embodiment file"):
        find_embodiment("hoper")


def test_a_robot_can_be_the_path_of_a_file(tmp_path: Path) -> None:
    load(tmp_path, CONTRACT)

    assert find_embodiment(str(tmp_path / "robot.yaml")).name == "arm"


def test_differences_name_what_differs_and_leave_out_the_description(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)
    other = load(
        tmp_path,
        changed(
            lambda content: (
                put("action.fields.0.limits", [-1.0, 2.0])(content),
                put("observation.0.fields.0.select", "position.wrist")(content),
                put("control_rate", 60.0)(content),
                put("description", "another text")(content),
            )
        ),
    )

    lines = arm.differences(other)

    assert len(lines) == 3
    assert any("control_rate" in line and "50.0" in line and "60.0" in line for line in lines)
    assert any("elbow" in line and "limits" in line for line in lines)
    assert any("position.wrist" in line for line in lines)
    assert arm.digest != other.digest


def test_differences_name_fields_that_only_one_side_has(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)
    smaller = load(tmp_path, changed(drop("action.fields.1")))

    (line,) = arm.differences(smaller)

    assert "action.fields" in line
    assert "wrist" in line


def test_the_digest_does_not_depend_on_the_description_or_the_order_of_keys(tmp_path: Path) -> None:
    arm = load(tmp_path, CONTRACT)
    described = load(tmp_path, changed(put("description", "An arm.")))
    turned = load(tmp_path, dict(reversed(list(CONTRACT.items()))))

    assert arm.digest == described.digest == turned.digest


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
_paths = st.sampled_from(
    [
        "name",
        "control_rate",
        "episode_length",
        "observation",
        "observation.0",
        "observation.0.type",
        "observation.0.fields",
        "observation.0.fields.0",
        "observation.0.fields.0.select",
        "observation.0.fields.1.clip",
        "action",
        "action.type",
        "action.fields.0",
        "action.fields.0.limits",
        "action.fields.0.joint",
        "return",
        "return.source",
        "episode_end_topic",
    ]
)


@settings(deadline=None)
@given(path=_paths, value=_json)
def test_whatever_stands_in_a_file_it_loads_or_is_one_clear_error(path: str, value: object) -> None:
    message = "robot.yaml: "
    try:
        embodiment_from_dict(changed(put(path, value)), origin="robot.yaml")
    except GacError as error:
        message = str(error)

    assert message.startswith("robot.yaml: ")
    assert "\n" not in message
