"""Faults made on purpose: what they do to a stream of messages, and over real DDS."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gac_ros import messages
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError
from gac_ros.observation import ObservationFrame
from gac_ros.sim import make_robot
from gac_ros.sim.injection import Injection, Injector, parse_injection
from tests.ros_support import RosPeer, ros_process

MAZE = find_embodiment("pointmaze_umaze")


def odometry(number: int) -> Any:
    robot = messages.odometry
    return robot(number, (number, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0,) * 3, (0.0,) * 3)


def numbers(sent: list[bytes]) -> list[int]:
    return [
        int(messages.deserialize(data, messages.ODOMETRY).pose.pose.position.x) for data in sent
    ]


def stream(injector: Injector, count: int = 6, period: float = 0.1) -> list[list[int]]:
    """Which of the messages 0, 1, ... come at each period's beginning."""
    result = []
    for number in range(count):
        now = number * period
        late = [data for _, data in injector.due(now)]
        result.append(numbers(late + injector.send("odom", odometry(number), now)))
    return result


def injector(**keys: Any) -> Injector:
    result = Injector(MAZE)
    result.apply(Injection(**keys), 0.0)
    return result


def test_nothing_is_changed_without_a_fault() -> None:
    assert stream(Injector(MAZE), 3) == [[0], [1], [2]]
    mended = injector(kind="drop", topic="odom")
    mended.apply(Injection(kind="none"), 0.0)
    assert stream(mended, 3) == [[0], [1], [2]]


def test_messages_are_dropped_delayed_reordered_and_frozen() -> None:
    assert stream(injector(kind="drop", topic="odom", count=2), 4) == [[], [], [2], [3]]
    assert stream(injector(kind="reorder", topic="odom"), 4) == [[], [1, 0], [], [3, 2]]
    assert stream(injector(kind="freeze", topic="odom", count=3), 5) == [[0], [0], [0], [3], [4]]
    late = injector(kind="delay", topic="odom", seconds=0.2, count=2)
    assert stream(late, 5) == [[], [], [0, 2], [1, 3], [4]]
    assert late.next_due() == np.inf


def test_numbers_become_nan_and_bytes_wrong() -> None:
    poisoned = injector(kind="nan", topic="odom", count=1)
    (data,) = poisoned.send("odom", odometry(1), 0.0)
    frame = ObservationFrame(MAZE)
    frame.update("odom", messages.deserialize(data, messages.ODOMETRY), 0.0)
    assert np.isnan(frame.take()).all()

    broken = injector(kind="corrupt", topic="odom")
    good = messages.serialize(odometry(1))
    for _ in range(20):
        (data,) = broken.send("odom", odometry(1), 0.0)
        assert len(data) == len(good)
        assert 1 <= sum(a != b for a, b in zip(data, good, strict=True)) < len(good) / 3


@pytest.mark.parametrize("name", ["hopper", "pointmaze_umaze"])
def test_nan_reaches_every_number_that_is_observed(name: str) -> None:
    robot = make_robot(name)
    robot.reset(0)
    frame = ObservationFrame(robot.embodiment)
    for topic, message in robot.messages(0).items():
        faulty = Injector(robot.embodiment)
        faulty.apply(Injection(kind="nan", topic=topic), 0.0)
        (data,) = faulty.send(topic, message, 0.0)
        frame.update(topic, messages.deserialize(data, message.__msgtype__), 0.0)
    assert np.isnan(frame.take()).all()


def test_a_killed_publisher_comes_back_when_told_or_when_its_time_is_over() -> None:
    dead = injector(kind="kill", topic="odom", seconds=1.0)
    assert dead.killed(0.9) == {"odom"}
    assert dead.send("odom", odometry(0), 0.9) == []
    assert dead.killed(1.0) == frozenset()
    assert numbers(dead.send("odom", odometry(1), 1.0)) == [1]
    dead.apply(Injection(kind="kill", topic="odom"), 2.0)
    assert dead.killed(1e9) == {"odom"}
    dead.apply(Injection(kind="none"), 3.0)
    assert dead.killed(3.0) == frozenset()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ('{"kind": "melt"}', "kinds are drop, delay"),
        ('{"kind": "drop"}', "'drop' needs 'topic'"),
        ('{"kind": "stall", "topic": "odom", "seconds": 1}', "'stall' has no 'topic'"),
        ('{"kind": "delay", "topic": "odom"}', "'delay' needs 'seconds'"),
        ('{"kind": "delay", "topic": "odom", "seconds": -1}', "must not be negative"),
        ('{"kind": "drop", "topic": "tf"}', "'tf' is no observation topic; there are odom"),
        ('{"kind": "drop", "topic": "odom", "often": 1}', "often"),
    ],
)
def test_what_is_no_fault_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse_injection(text, MAZE)


def test_over_dds_faults_come_and_go_as_they_are_ordered(ros_peer: RosPeer) -> None:
    def inject(**keys: Any) -> Any:
        return ros_peer.set_parameter("/sim", "inject_fault", json.dumps(keys) if keys else "")

    def mended() -> None:
        assert inject().successful
        count = len(ros_peer.of("/odom"))
        ros_peer.spin_until(lambda: len(ros_peer.of("/odom")) > count + 1)

    ros_peer.subscribe(messages.CLOCK, "/clock")
    ros_peer.subscribe(messages.ODOMETRY, "/odom")
    parameters = {"robot": "pointmaze_umaze", "fault_injection": True, "wait_for_command": True}
    with ros_process("gac_ros.sim.node", **parameters) as process:
        ros_peer.spin_until(lambda: len(ros_peer.of("/odom")) > 2)

        refused = inject(kind="drop", topic="tf")
        assert not refused.successful
        assert "no observation topic" in refused.reason

        assert inject(kind="nan", topic="odom").successful
        ros_peer.spin_until(lambda: np.isnan(ros_peer.of("/odom")[-1].pose.pose.position.x))
        mended()
        assert not np.isnan(ros_peer.of("/odom")[-1].pose.pose.position.x)

        assert inject(kind="kill", topic="odom").successful
        ros_peer.spin_until(lambda: ros_peer.publishers_of("/odom") == 0)
        mended()
        assert ros_peer.publishers_of("/odom") == 1

        before = ros_peer.of("/clock")[-1].clock.sec
        assert inject(kind="jump_clock", seconds=1000.0).successful
        ros_peer.spin_until(lambda: ros_peer.of("/clock")[-1].clock.sec > before + 900)
        ros_peer.spin_until(lambda: ros_peer.of("/odom")[-1].header.stamp.sec > before + 900)
        assert inject(kind="jump_clock", seconds=-1000.0).successful
        ros_peer.spin_until(lambda: ros_peer.of("/clock")[-1].clock.sec < before + 900)

        # Its answer to another request came after all that it had sent before.
        assert inject(kind="stall", seconds=1000.0).successful
        count = len(ros_peer.of("/odom"))
        assert inject(kind="stall", seconds=1000.0).successful
        assert len(ros_peer.of("/odom")) <= count + 1
        mended()
        assert process.stop() == 0
        assert "fault on purpose" in process.output
