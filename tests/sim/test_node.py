"""The simulator's node as a process of its own, over real DDS."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rcl_interfaces.srv import DescribeParameters, ListParameters
from std_srvs.srv import SetBool, Trigger

from gac_ros import messages
from gac_ros.action import encode_action
from gac_ros.embodiment import Embodiment, find_embodiment
from gac_ros.observation import ObservationFrame
from gac_ros.sim import make_robot
from tests.ros_support import RosPeer, ros_process

NODE = "gac_ros.sim.node"


class Client:
    """What a controller sees of a simulated robot."""

    def __init__(self, peer: RosPeer, robot: str, namespace: str = "") -> None:
        self.peer = peer
        self.embodiment: Embodiment = find_embodiment(robot)
        self._namespace = namespace
        for channel in self.embodiment.observation:
            peer.subscribe(channel.type, self.topic(channel.topic))
        peer.subscribe(messages.FLOAT64, self.topic("reward"))
        peer.subscribe(messages.STRING, self.topic("episode_end"))
        peer.subscribe(messages.CLOCK, "/clock")
        action = self.embodiment.action
        self._publish = peer.publisher(action.type.value, self.topic(action.topic))
        self.state_topic = self.topic(self.embodiment.observation[0].topic)

    def topic(self, name: str) -> str:
        return f"{self._namespace}/{name}"

    def connect(self) -> None:
        """Wait until the simulator's services and topics are known on both sides."""
        self.peer.spin_until(lambda: self.peer.publishers_of(self.topic("episode_end")))
        self.pause(True)

    def pause(self, paused: bool) -> None:
        request = SetBool.Request(data=paused)
        assert self.peer.call(SetBool, self.topic("sim/set_pause"), request).success

    def trigger(self, service: str) -> Any:
        return self.peer.call(Trigger, self.topic(f"sim/{service}"))

    def start(self, seed: int) -> None:
        """The episode runner's sequence."""
        self.pause(True)
        assert self.peer.set_parameter(self.topic("sim"), "seed", seed).successful
        assert self.trigger("reset_world").message == f"reset with seed {seed}"
        self.peer.received.clear()
        self.pause(False)

    def command(self, action: np.ndarray) -> None:
        self._publish(encode_action(self.embodiment, action, 0))

    def of(self, name: str) -> list[Any]:
        return self.peer.of(name if name.startswith("/") else self.topic(name))

    def states(self) -> list[Any]:
        return self.peer.of(self.state_topic)

    def lock_step_episode(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
        """Observations (T+1, O), rewards (T,), and the end's reason."""
        frame = ObservationFrame(self.embodiment)
        observations = []
        while True:
            step = len(observations)
            self.peer.spin_until(lambda: len(self.states()) > step)  # noqa: B023
            frame.update(self.embodiment.observation[0].topic, self.states()[step], 0.0)
            observations.append(frame.take())
            if step == len(actions):
                break
            self.command(actions[step])
        # Nothing orders the topics among themselves: wait for each.
        self.peer.spin_until(
            lambda: self.of("episode_end") and len(self.of("reward")) == len(observations) - 1
        )
        rewards = np.array([message.data for message in self.of("reward")])
        return np.array(observations), rewards, self.of("episode_end")[0].data


def in_process_episode(
    robot_name: str, seed: int, actions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, str]:
    robot = make_robot(robot_name)
    frame = ObservationFrame(robot.embodiment)
    observations, rewards = [], []
    robot.reset(seed)
    terminated = False
    for action in [None, *actions]:
        if action is not None:
            outcome = robot.step(action)
            rewards.append(outcome.reward)
            terminated = outcome.terminated
        for topic, message in robot.messages(0).items():
            frame.update(topic, message, 0.0)
        observations.append(frame.take())
        if terminated:
            break
    return np.array(observations), np.array(rewards), "terminated" if terminated else "truncated"


@pytest.mark.parametrize(
    ("robot", "end"), [("pointmaze_umaze", "truncated"), ("hopper", "terminated")]
)
def test_lock_step_episodes_equal_in_process_episodes_bit_for_bit(
    ros_peer: RosPeer, robot: str, end: str
) -> None:
    with ros_process(NODE, robot=robot, lock_step=True, start_paused=True):
        client = Client(ros_peer, robot)
        client.connect()
        for seed in (3, 11):
            length = client.embodiment.episode_length
            actions = np.random.default_rng(seed).uniform(
                -1, 1, size=(length, client.embodiment.action_size)
            )
            expected = in_process_episode(robot, seed, actions)
            client.start(seed)
            observed = client.lock_step_episode(actions[: len(expected[1])])
            assert expected[2] == observed[2] == end
            assert np.array_equal(observed[0], expected[0])
            assert np.array_equal(observed[1], expected[1])
            clocks = [c.clock.sec * 10**9 + c.clock.nanosec for c in client.of("/clock")]
            assert clocks == sorted(clocks)
            # After the end: no answer to a command, whenever it comes.
            count = len(client.states())
            client.command(actions[0])
            assert not client.trigger("step_simulation").success
            assert len(client.states()) == count


def test_lock_step_waits_for_its_peers_and_then_for_exactly_one_command(ros_peer: RosPeer) -> None:
    # Not paused at the start: the first observation must wait for a subscriber all the same.
    with ros_process(NODE, robot="pointmaze_umaze", lock_step=True):
        client = Client(ros_peer, "pointmaze_umaze")
        ros_peer.spin_until(client.states)
        robot = make_robot("pointmaze_umaze")
        robot.reset(0)  # a simulator that nobody seeded starts with 0
        first = robot.messages(0)["odom"].pose.pose.position
        position = client.states()[0].pose.pose.position
        assert (position.x, position.y) == (first.x, first.y)
        for count in range(2, 5):
            client.command(np.zeros(2))
            ros_peer.spin_until(
                lambda: (
                    len(client.states()) >= count  # noqa: B023
                    and len(client.of("reward")) >= count - 1  # noqa: B023
                )
            )
            # A service call in between gives any surplus step time to show up.
            client.peer.set_parameter("/sim", "auto_reset", False)
            assert len(client.states()) == count
            assert len(client.of("reward")) == count - 1
        stamps = [state.header.stamp.nanosec for state in client.states()]
        assert np.diff(stamps).tolist() == [10_000_000] * 3


def test_unpausing_in_the_middle_of_an_episode_sends_the_observation_again(
    ros_peer: RosPeer,
) -> None:
    with ros_process(NODE, robot="pointmaze_umaze", lock_step=True, start_paused=True):
        client = Client(ros_peer, "pointmaze_umaze")
        client.connect()
        client.start(0)
        ros_peer.spin_until(client.states)
        client.pause(True)
        client.pause(False)
        ros_peer.spin_until(lambda: len(client.states()) == 2)
        first, again = client.states()
        assert messages.serialize(first) == messages.serialize(again)
        client.command(np.ones(2))
        ros_peer.spin_until(lambda: len(client.states()) == 3)
        assert client.states()[2].twist.twist.linear.x > first.twist.twist.linear.x


def test_paused_it_makes_single_steps(ros_peer: RosPeer) -> None:
    with ros_process(NODE, robot="pointmaze_umaze", lock_step=True, start_paused=True):
        client = Client(ros_peer, "pointmaze_umaze")
        client.connect()
        assert client.trigger("step_simulation").message == "step 1"
        assert client.trigger("step_simulation").message == "step 2"
        ros_peer.spin_until(lambda: len(client.states()) == 2 and len(client.of("reward")) == 2)
        client.pause(False)
        refusal = client.trigger("step_simulation")
        assert not refusal.success
        assert "not paused" in refusal.message


def test_in_real_time_it_is_hardware_that_is_switched_on(ros_peer: RosPeer) -> None:
    with ros_process(NODE, robot="pointmaze_umaze", real_time_factor=20.0, seed=4):
        client = Client(ros_peer, "pointmaze_umaze")
        # Observed at once, but in its start state until the first command.
        ros_peer.spin_until(lambda: len(client.states()) >= 3)
        positions = {state.pose.pose.position.x for state in client.states()}
        assert len(positions) == 1
        assert client.of("reward") == []
        ros_peer.spin_until(lambda: client.of("reward") or client.command(np.ones(2)))
        # The command stops, the robot goes on; 300 steps make the episode.
        ros_peer.spin_until(lambda: client.of("episode_end"))
        ros_peer.spin_until(lambda: len(client.of("reward")) == 300)
        assert client.of("episode_end")[0].data == "truncated"
        ros_peer.spin_until(lambda: client.states()[-1].pose.pose.position.x not in positions)
        clocks = [c.clock.sec * 10**9 + c.clock.nanosec for c in client.of("/clock")]
        assert np.all(np.diff(clocks) >= 0)
        # It holds until a reset, and needs no unpausing.
        assert client.trigger("reset_world").message == "reset with seed 4"
        ros_peer.spin_until(lambda: client.states()[-1].pose.pose.position.x in positions)


def test_auto_reset_starts_the_next_episode_by_itself(ros_peer: RosPeer) -> None:
    parameters = {"real_time_factor": 50.0, "auto_reset": True, "wait_for_command": False}
    with ros_process(NODE, robot="hopper", **parameters):
        client = Client(ros_peer, "hopper")
        ros_peer.spin_until(lambda: len(client.of("episode_end")) >= 2)
        assert {end.data for end in client.of("episode_end")} == {"terminated"}


def test_relative_names_follow_the_namespace(ros_peer: RosPeer) -> None:
    with ros_process(NODE, "-r", "__ns:=/left", robot="pointmaze_umaze", real_time_factor=20.0):
        client = Client(ros_peer, "pointmaze_umaze", "/left")
        ros_peer.spin_until(client.states)
        ros_peer.spin_until(lambda: client.of("/clock"))
        assert client.trigger("reset_world").success


def test_malformed_and_infinite_commands_are_ignored_with_a_warning(ros_peer: RosPeer) -> None:
    with ros_process(NODE, robot="pointmaze_umaze", lock_step=True, start_paused=True) as process:
        client = Client(ros_peer, "pointmaze_umaze")
        client.connect()
        client.start(0)
        ros_peer.spin_until(client.states)
        client.command(np.zeros(3))
        ros_peer.spin_until(lambda: "has 3 numbers" in process.output)
        client.command(np.array([np.nan, 0.0]))
        client.command(np.array([0.0, 1.0]))
        ros_peer.spin_until(lambda: len(client.states()) >= 2 and client.of("reward"))
        assert len(client.of("reward")) == 1


def test_parameters_describe_themselves(ros_peer: RosPeer) -> None:
    with ros_process(NODE, robot="pointmaze_umaze"):
        listed = ros_peer.call(ListParameters, "/sim/list_parameters").result.names
        request = DescribeParameters.Request(names=list(listed))
        described = ros_peer.call(DescribeParameters, "/sim/describe_parameters", request)
        descriptors = {entry.name: entry for entry in described.descriptors}
        for name in ("robot", "lock_step", "seed", "command_timeout", "auto_reset"):
            assert descriptors[name].description
        assert descriptors["robot"].read_only
        assert not ros_peer.set_parameter("/sim", "robot", "hopper").successful
        assert not ros_peer.set_parameter("/sim", "seed", -2).successful
        assert not ros_peer.set_parameter("/sim", "real_time_factor", 0.0).successful
        refused = ros_peer.set_parameter(
            "/sim", "inject_fault", '{"kind": "drop", "topic": "odom"}'
        )
        assert not refused.successful
        assert "fault injection is off" in refused.reason


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("ros_domain")
def test_signals_end_it_cleanly(ros_peer: RosPeer, number: signal.Signals) -> None:
    with ros_process(NODE, robot="pointmaze_umaze") as process:
        client = Client(ros_peer, "pointmaze_umaze")
        ros_peer.spin_until(client.states)
        assert process.stop(number) == 0
        assert "Traceback" not in process.output


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"robot": "roomba"}, "unknown robot 'roomba'"),
        ({"robot": "gone.yaml"}, "gone.yaml: cannot be read"),
        ({"mjcf": "gone.xml"}, "gone.xml: no such MJCF file"),
        ({"seed": "many"}, "seed"),
        ({"headless": "maybe"}, "headless"),
    ],
)
@pytest.mark.usefixtures("ros_domain")
def test_a_user_s_mistake_is_one_line_and_exit_code_two(
    parameters: dict[str, str], message: str
) -> None:
    with ros_process(NODE, **parameters) as process:
        assert process.wait() == 2
        (line,) = process.output.splitlines()
        assert line.startswith("sim: error: ")
        assert message in line


@pytest.mark.usefixtures("ros_domain")
def test_a_broken_embodiment_file_is_one_line_too(tmp_path: Path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text("name: [", encoding="utf-8")
    with ros_process(NODE, robot=path) as process:
        assert process.wait() == 2
        (line,) = process.output.splitlines()
        assert line.startswith(f"sim: error: {path}: not valid YAML")


def test_without_a_display_it_runs_headless_with_a_warning(
    ros_peer: RosPeer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with ros_process(NODE, robot="pointmaze_umaze", headless=False) as process:
        client = Client(ros_peer, "pointmaze_umaze")
        ros_peer.spin_until(client.states)
        assert process.output.count("running headless") == 1
