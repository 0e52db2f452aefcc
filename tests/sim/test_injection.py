"""Faults made on purpose: what they do to a stream of messages, and over real DDS."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from std_srvs.srv import SetBool, Trigger

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.embodiment import find_embodiment
from gac_ros.errors import ConfigurationError, DecodeError
from gac_ros.observation import ObservationFrame
from gac_ros.ros_types import ros_class
from gac_ros.sim import make_robot
from gac_ros.sim.injection import Injection, Injector, parse_injection
from tests.ros_support import RosPeer, own_domain, ros_process

NODE = "gac_ros.sim.node"
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


@pytest.mark.parametrize("kind", ["drop", "delay", "reorder", "freeze", "corrupt", "nan"])
def test_a_new_fault_brings_a_killed_publisher_back_and_outlives_the_kill(kind: str) -> None:
    fault = Injection(kind=kind, topic="odom", seconds=0.2 if kind == "delay" else 0.0)
    killed, fresh = injector(kind="kill", topic="odom", seconds=1.0), Injector(MAZE)
    for each in (killed, fresh):
        each.apply(fault, 0.5)
    for number, now in enumerate((0.5, 0.8, 1.1, 1.4)):
        assert killed.killed(now) == frozenset()
        sent, expected = (each.send("odom", odometry(number), now) for each in (killed, fresh))
        assert sent == expected
        assert killed.due(now) == fresh.due(now)


def test_a_stalled_robot_keeps_delayed_messages_until_it_goes_on() -> None:
    late = injector(kind="delay", topic="odom", seconds=0.2)
    late.send("odom", odometry(0), 0.0)
    late.apply(Injection(kind="stall", seconds=1.0), 0.1)
    assert late.due(0.5) == []
    assert late.next_due() == pytest.approx(1.1)
    assert numbers([data for _, data in late.due(1.2)]) == [0]


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
        ('{"kind": "kill", "topic": "odom", "count": 2}', "'kill' has no 'count'"),
        ('{"kind": "stall", "seconds": 1, "count": 2}', "'stall' has no 'count'"),
        ('{"kind": "jump_clock", "seconds": 1, "count": 2}', "'jump_clock' has no 'count'"),
    ],
)
def test_what_is_no_fault_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        parse_injection(text, MAZE)


class Onlooker:
    """Sees what a simulated maze sends, whatever a fault has made of it.

    Attributes:
        odometry: bytes received so far.
        lags: for each of them, by how many seconds of simulated time it came late.
        clocks: seconds of simulated time received so far.
    """

    def __init__(self, peer: RosPeer) -> None:
        self.peer = peer
        self.odometry: list[bytes] = []
        self.lags: list[float] = []
        self.clocks: list[float] = []
        node = peer.node
        for kind, topic, heard in (
            (messages.CLOCK, "/clock", self._on_clock),
            (messages.ODOMETRY, "/odom", self._on_odometry),
        ):
            node.create_subscription(ros_class(kind), topic, heard, 1000, raw=True)

    def _on_clock(self, data: bytes) -> None:
        self.clocks.append(seconds(messages.deserialize(data, messages.CLOCK).clock))

    def _on_odometry(self, data: bytes) -> None:
        self.odometry.append(data)
        with suppress(DecodeError):
            now = self.clocks[-1] if self.clocks else 0.0
            self.lags.append(
                now - seconds(messages.deserialize(data, messages.ODOMETRY).header.stamp)
            )

    def inject(self, **keys: Any) -> Any:
        """Ask for a fault; for none without keys."""
        text = json.dumps(keys) if keys else ""
        return self.peer.set_parameter("/sim", "inject_fault", text)

    def stamps(self, since: int = 0) -> list[int]:
        """Of the odometry, in control periods."""
        decoded = [messages.deserialize(data, messages.ODOMETRY) for data in self.odometry[since:]]
        return [round(seconds(each.header.stamp) * MAZE.control_rate) for each in decoded]

    def mend(self) -> None:
        """Have all be well, and see that it is: nothing is missing, late or wrong."""
        assert self.inject().successful
        since = len(self.odometry)
        # The first may have been sent before.
        self.peer.spin_until(lambda: len(self.odometry) >= since + 4)
        assert np.diff(self.stamps(since + 1)[:3]).tolist() == [1, 1]
        assert max(self.lags[-2:]) < 0.1
        last = messages.deserialize(self.odometry[-1], messages.ODOMETRY)
        assert np.isfinite(last.pose.pose.position.x)


def seconds(stamp: Any) -> float:
    return float(stamp.sec + stamp.nanosec / messages.NANOSECONDS)


@pytest.fixture(scope="module")
def onlooker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Onlooker]:
    """Beside a maze that waits in its start state, so that its messages differ by stamp alone."""
    with own_domain(tmp_path_factory.mktemp("ros_log")) as domain:
        peer = RosPeer(domain)
        with ros_process(NODE, robot=MAZE.name, fault_injection=True) as process:
            looking = Onlooker(peer)
            peer.spin_until(lambda: len(looking.odometry) > 2)
            yield looking
            assert process.stop() == 0
            assert "fault on purpose" in process.output
            assert "Traceback" not in process.output
        peer.close()


def dropped(looking: Onlooker, since: int) -> bool:
    return 6 in np.diff(looking.stamps(since))


def delayed(looking: Onlooker, since: int) -> bool:
    return len(looking.odometry) > since + 3 and min(looking.lags[-3:]) > 0.25


def reordered(looking: Onlooker, since: int) -> bool:
    return -1 in np.diff(looking.stamps(since))


def frozen(looking: Onlooker, since: int) -> bool:
    return len(looking.odometry) > since + 3 and len(set(looking.odometry[-3:])) == 1


def corrupted(looking: Onlooker, since: int) -> bool:
    good, last = (np.frombuffer(looking.odometry[place], np.uint8) for place in (since, -1))
    return len(good) == len(last) and np.count_nonzero(good != last) > len(good) / 16


def poisoned(looking: Onlooker, since: int) -> bool:
    last = messages.deserialize(looking.odometry[-1], messages.ODOMETRY)
    return bool(np.isnan(last.pose.pose.position.x))


@pytest.mark.parametrize(
    ("fault", "shows"),
    [
        ({"kind": "drop", "count": 5}, dropped),
        ({"kind": "delay", "seconds": 0.3}, delayed),
        ({"kind": "reorder"}, reordered),
        ({"kind": "freeze"}, frozen),
        ({"kind": "corrupt"}, corrupted),
        ({"kind": "nan"}, poisoned),
    ],
    ids=["drop", "delay", "reorder", "freeze", "corrupt", "nan"],
)
def test_over_dds_messages_go_wrong_as_ordered_and_are_well_again(
    onlooker: Onlooker, fault: dict[str, Any], shows: Callable[[Onlooker, int], bool]
) -> None:
    since = len(onlooker.odometry) - 1  # it may show from the next message on
    assert onlooker.inject(topic="odom", **fault).successful
    onlooker.peer.spin_until(lambda: shows(onlooker, since))
    onlooker.mend()


def test_over_dds_what_is_no_fault_is_refused(onlooker: Onlooker) -> None:
    refused = onlooker.inject(kind="drop", topic="tf")
    assert not refused.successful
    assert "no observation topic" in refused.reason


def test_over_dds_a_publisher_goes_and_comes_back_with_the_next_fault(onlooker: Onlooker) -> None:
    peer = onlooker.peer
    assert onlooker.inject(kind="kill", topic="odom").successful
    peer.spin_until(lambda: peer.publishers_of("/odom") == 0)
    since = len(onlooker.odometry)
    assert onlooker.inject(kind="nan", topic="odom").successful
    peer.spin_until(lambda: len(onlooker.odometry) > since)
    assert poisoned(onlooker, since)

    assert onlooker.inject(kind="kill", topic="odom").successful
    peer.spin_until(lambda: peer.publishers_of("/odom") == 0)
    onlooker.mend()
    assert peer.publishers_of("/odom") == 1


def test_over_dds_the_clock_jumps_with_the_stamps(onlooker: Onlooker) -> None:
    before = onlooker.clocks[-1]
    assert onlooker.inject(kind="jump_clock", seconds=1000.0).successful
    onlooker.peer.spin_until(lambda: onlooker.clocks[-1] > before + 900)
    onlooker.peer.spin_until(lambda: onlooker.stamps(-1)[0] > (before + 900) * MAZE.control_rate)
    assert onlooker.inject(kind="jump_clock", seconds=-1000.0).successful
    onlooker.peer.spin_until(lambda: onlooker.clocks[-1] < before + 900)
    onlooker.mend()


def test_over_dds_a_stalled_robot_says_nothing_at_all(onlooker: Onlooker) -> None:
    # Its answer to another request comes after all that it had sent before.
    assert onlooker.inject(kind="stall", seconds=1000.0).successful
    count = len(onlooker.odometry)
    # Long enough for the clock's housekeeping, which a robot that only waits does.
    assert onlooker.inject(kind="stall", seconds=2.5).successful
    assert len(onlooker.odometry) <= count + 1
    told = len(onlooker.clocks)
    since = len(onlooker.odometry)
    onlooker.peer.spin_until(lambda: len(onlooker.odometry) > since + 3)
    assert (np.diff(onlooker.clocks[told - 1 :]) > 0.0).all()
    onlooker.mend()


def test_a_stalled_lock_step_makes_its_step_when_it_goes_on(ros_peer: RosPeer) -> None:
    ros_peer.subscribe(messages.ODOMETRY, "/odom")
    command = ros_peer.publisher(MAZE.action.type.value, f"/{MAZE.action.topic}")
    with ros_process(NODE, robot=MAZE.name, lock_step=True, fault_injection=True):
        ros_peer.spin_until(lambda: ros_peer.of("/odom"))
        stall = json.dumps({"kind": "stall", "seconds": 1000.0})
        assert ros_peer.set_parameter("/sim", "inject_fault", stall).successful
        command(encode_action(MAZE, np.zeros(2), 0))
        command(encode_action(MAZE, np.ones(2), 0))
        ros_peer.call(Trigger, "/sim/step_simulation")  # a while, in which a step would show
        assert len(ros_peer.of("/odom")) == 1
        assert ros_peer.set_parameter("/sim", "inject_fault", "").successful
        ros_peer.spin_until(lambda: len(ros_peer.of("/odom")) == 2)

        # Nor does an operator get a step of it.
        assert ros_peer.set_parameter("/sim", "inject_fault", stall).successful
        assert ros_peer.call(SetBool, "/sim/set_pause", SetBool.Request(data=True)).success
        refused = ros_peer.call(Trigger, "/sim/step_simulation")
        assert not refused.success
        assert "stalled on purpose" in refused.message
    robot = make_robot(MAZE.name)
    robot.reset(0)
    robot.step(np.ones(2))
    expected = robot.messages(0)["odom"].twist.twist.linear
    assert ros_peer.of("/odom")[1].twist.twist.linear == expected


@pytest.mark.usefixtures("ros_domain")
def test_a_fault_at_the_start_needs_the_switch() -> None:
    fault = """'{"kind": "drop", "topic": "odom"}'"""
    with ros_process(NODE, robot=MAZE.name, inject_fault=fault) as process:
        assert process.wait() == 2
        (line,) = process.output.splitlines()
        assert "fault injection is off; start the node with fault_injection:=true" in line
