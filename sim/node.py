"""The ROS node of a simulated robot: it looks like hardware that is switched on.

Real time (the default): it publishes observations at the control rate from its start, stays in
its start state, as on a stand, until the first command, and then moves by the newest command.
When the episode ends it holds still until `~/reset_world` (or `auto_reset`).

Lock-step (`lock_step:=true`): every observation waits for exactly one command, which makes the
next step at once; nothing depends on wall-clock time. The first observation is sent when every
observation topic has a subscriber and the command topic has a publisher, so that it cannot be
lost to a peer that is still starting. Unpausing in the middle of an episode sends the current
observation again. Commands that nobody waits for are ignored.
"""

from __future__ import annotations

import importlib
import signal
import sys
import time
import warnings
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from std_srvs.srv import SetBool, Trigger

from gac_ros import messages
from gac_ros.action import decode_action
from gac_ros.embodiment import ObservationChannel
from gac_ros.errors import ConfigurationError, DecodeError, GacError
from gac_ros.sim import make_robot
from gac_ros.sim.disturbance import KINDS, Disturbance, DisturbedRobot
from gac_ros.sim.injection import Injector, parse_injection
from gac_ros.sim.robot import SimulatedRobot
from gac_ros.sim.simulation import Simulation

_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Observations may be superseded by newer ones; a reward that is lost is missing from the return.
_REWARD_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
_HOUSEKEEPING_PERIOD = 1.0  # s
_CONNECTION_POLL_PERIOD = 0.02  # s
_SILENCE_WARNING = 5.0  # s
_WARNING_PERIOD = 5.0  # s; each warning at most once in that time
_TOLERATED_LAG = 0.1  # share of wall-clock time
_FAULT_PERIOD = 0.01  # s; how soon a killed publisher is back
_INJECTION_OFF = "fault injection is off; start the node with fault_injection:=true"
_VIEWER_PERIOD = 1.0 / 30.0  # s

_USAGE = """\
usage: ros2 run gac_ros sim --ros-args [-p NAME:=VALUE ...] [-r __ns:=/NAMESPACE]

A simulated robot as a ROS 2 node. Parameters:
"""


def _parameters() -> dict[str, tuple[Any, ParameterDescriptor]]:
    """Default value and descriptor of every parameter, by name."""

    def described(value: Any, description: str, **keys: Any) -> tuple[Any, ParameterDescriptor]:
        return value, ParameterDescriptor(description=description, **keys)

    def fixed(value: Any, description: str) -> tuple[Any, ParameterDescriptor]:
        return described(value, description, read_only=True)

    def floats(low: float, high: float) -> list[FloatingPointRange]:
        return [FloatingPointRange(from_value=low, to_value=high)]

    return {
        "robot": fixed("pointmaze_umaze", "packaged robot, or path of an embodiment file (*.yaml)"),
        "mjcf": fixed("", "path of an MJCF file to simulate; empty for the packaged physics"),
        "lock_step": fixed(False, "wait for one command after each observation"),
        "headless": fixed(True, "false opens a viewer window, where there is a display"),
        "start_paused": fixed(False, "wait for ~/set_pause before anything is published"),
        "wait_for_command": fixed(
            True, "stay in the start state until an episode's first command (real time only)"
        ),
        "publish_clock": fixed(
            True, "publish /clock; of several robots in one ROS domain only one may"
        ),
        "disturbance.kind": fixed(
            "", "push or teleport: what happens once an episode; empty: nothing"
        ),
        "disturbance.step": fixed(0, "step of the episode before which it happens"),
        "disturbance.speed": fixed(1.0, "change of the root's velocity by a push, m/s"),
        "fault_injection": fixed(False, "allow faults to be made on purpose; for tests only"),
        "inject_fault": described(
            "",
            'a fault to make, as JSON: {"kind": ..., "topic": ..., "seconds": ..., "count": ...}; '
            "empty: all is well again (see docs/safety.md)",
        ),
        "auto_reset": described(False, "start the next episode as soon as one has ended"),
        "real_time_factor": described(
            1.0,
            "simulated seconds per second of wall-clock time (not in lock-step)",
            floating_point_range=floats(0.01, 1000.0),
        ),
        "command_timeout": described(
            0.5,
            "simulated seconds after the last command until the safe action; 0.0 disables "
            "(not in lock-step)",
            floating_point_range=floats(0.0, 3600.0),
        ),
        "seed": described(
            -1,
            "seed of the next reset; -1 counts on from the last one, first 0",
            integer_range=[IntegerRange(from_value=-1, to_value=2**63 - 1)],
        ),
    }


def _ros_class(type_name: str) -> Any:
    """The rclpy message class of a name such as `sensor_msgs/msg/JointState`."""
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except ImportError as error:
        raise ConfigurationError(
            f"the message package {package} cannot be imported ({error}); install it "
            f"(ros-jazzy-{package.replace('_', '-')})"
        ) from error


class SimNode(Node):  # type: ignore[misc, unused-ignore]
    """ROS entities around a `Simulation`.

    It creates everything at construction and releases everything in `destroy_node`. It needs no
    timer: whoever spins it calls `work` between callbacks.
    """

    def __init__(self) -> None:
        super().__init__("sim")
        for name, (default, descriptor) in _parameters().items():
            self.declare_parameter(name, default, descriptor)
        robot = self._disturbed(
            make_robot(self._parameter("robot"), mjcf=self._parameter("mjcf") or None)
        )
        self._embodiment = robot.embodiment
        self._last_seed = -1
        self._injector = Injector(self._embodiment) if self._parameter("fault_injection") else None
        self.add_on_set_parameters_callback(self._check_injection)
        self.add_post_set_parameters_callback(self._inject)
        self._create_entities()
        self._simulation = Simulation(
            robot,
            self,
            lock_step=self._parameter("lock_step"),
            wait_for_command=self._parameter("wait_for_command"),
        )
        self._begin_with_fault()
        self._viewer = None if self._parameter("headless") else self._open_viewer(robot)
        self._viewer_synced = 0.0
        self._reset(self._chosen_seed())
        # The first serialisation of a kind generates its code, which takes many periods.
        for message in robot.messages(0).values():
            messages.serialize(message)
        self._last_sent = self._last_housekeeping = self._next_tick = time.monotonic()
        self._lag = 0.0
        if not self._parameter("start_paused"):
            self._resume()
        mode = "lock-step" if self._simulation.lock_step else "real time"
        self.get_logger().info(
            f"{self._embodiment.name}: {mode}, {self._embodiment.control_rate:g} Hz, "
            f"{'paused' if self._simulation.paused else 'running'}, "
            f"commands on {self._commands.topic_name}"
        )

    def _disturbed(self, robot: SimulatedRobot) -> SimulatedRobot:
        """The robot with the disturbance that the parameters ask for."""
        kind = self._parameter("disturbance.kind")
        if not kind:
            return robot
        if kind not in KINDS:
            raise ConfigurationError(f"disturbance.kind '{kind}' is not one of {', '.join(KINDS)}")
        what = Disturbance(
            kind, self._parameter("disturbance.step"), self._parameter("disturbance.speed")
        )
        return DisturbedRobot(robot, what)

    # What comes out of the simulation (simulation.Output).

    def reward(self, value: float) -> None:
        """Publish a step's reward."""
        if self._rewards is not None:
            self._rewards.publish(messages.serialize(messages.float64(value)))

    def clock(self, stamp: int) -> None:
        """Publish simulated time, in nanoseconds."""
        self._last_sent = time.monotonic()
        if self._clocks is not None:
            self._clocks.publish(messages.serialize(messages.clock(stamp)))

    def observation(self, messages_by_topic: dict[str, Any]) -> None:
        """Publish a message on every observation topic."""
        if self._injector is None:
            for topic, message in messages_by_topic.items():
                self._observations[topic].publish(messages.serialize(message))
            return
        now = time.monotonic()
        for topic, message in messages_by_topic.items():
            for data in self._injector.send(topic, message, now):
                self._observations[topic].publish(data)

    def episode_end(self, reason: str) -> None:
        """Publish that the episode has ended."""
        if self._ends is not None:
            self._ends.publish(messages.serialize(messages.string(reason)))

    # What drives the simulation.

    def work(self) -> float:
        """Do what is due now; returns the seconds until something is due again."""
        now = time.monotonic()
        self._simulation.command_timeout = self._parameter("command_timeout")
        if self._simulation.over and self._parameter("auto_reset"):
            self._reset(self._last_seed + 1)
        if now - self._last_housekeeping >= _HOUSEKEEPING_PERIOD:
            self._keep_house(now)
        self._sync_viewer(now)
        faulty = self._work_on_faults(now)
        if self._injector is not None and now < self._injector.stalled_until:
            self._next_tick = now
            return min(faulty, self._injector.stalled_until - now)
        if self._simulation.lock_step:
            return min(faulty, self._announce_when_connected())
        return min(faulty, self._tick_when_due(now))

    def _announce_when_connected(self) -> float:
        if not self._simulation.announcement_due:
            return _HOUSEKEEPING_PERIOD
        if self._missing_peers():
            return _CONNECTION_POLL_PERIOD
        # A command that is still in the queue cannot be the answer to what is sent now.
        with self._commands.handle:
            while self._commands.handle.take_message(self._commands.msg_type, True) is not None:
                pass
        self._simulation.announce()
        return _HOUSEKEEPING_PERIOD

    def _tick_when_due(self, now: float) -> float:
        if self._simulation.paused or self._simulation.over:
            return _HOUSEKEEPING_PERIOD
        period = self._embodiment.control_period / self._parameter("real_time_factor")
        if self._simulation.announcement_due:
            self._simulation.announce()
            self._next_tick = now + period
        elif now >= self._next_tick:
            self._simulation.tick()
            # Steps keep to a fixed schedule; after a longer stall, simulated time has just been
            # slower. Making up for it would apply one command for several steps in a row.
            self._next_tick += period
            self._lag += max(0.0, now - self._next_tick)
            self._next_tick = max(self._next_tick, now)
        return max(0.0, self._next_tick - time.monotonic())

    def _keep_house(self, now: float) -> None:
        if self._lag > _TOLERATED_LAG * (now - self._last_housekeeping):
            self.get_logger().warning(
                f"slower than real_time_factor {self._parameter('real_time_factor'):g}: "
                f"simulated time fell behind by {self._lag:.2f} s",
                throttle_duration_sec=_WARNING_PERIOD,
            )
        self._lag = 0.0
        self._last_housekeeping = now
        silent = now - self._last_sent
        if silent < _HOUSEKEEPING_PERIOD:
            return
        if self._clocks is not None:
            # For nodes on simulated time that start while this one is paused or waits.
            self._clocks.publish(messages.serialize(messages.clock(self._simulation.stamp)))
        if not self._simulation.lock_step or silent < _SILENCE_WARNING:
            return
        if self._simulation.awaiting_command:
            self.get_logger().warning(
                f"no command on {self._commands.topic_name} for {silent:.0f} s; waiting",
                throttle_duration_sec=_WARNING_PERIOD,
            )
        elif self._simulation.announcement_due:
            self.get_logger().warning(
                f"lock-step waits for {', '.join(self._missing_peers())}",
                throttle_duration_sec=_WARNING_PERIOD,
            )

    def _missing_peers(self) -> list[str]:
        missing = [
            f"a subscriber of {publisher.topic_name}"
            for publisher in self._observations.values()
            if publisher.get_subscription_count() == 0
        ]
        if self._commands.get_publisher_count() == 0:
            missing.append(f"a publisher of {self._commands.topic_name}")
        return missing

    def _on_command(self, data: bytes) -> None:
        try:
            action = decode_action(
                self._embodiment, messages.deserialize(data, self._embodiment.action.type.value)
            )
        except DecodeError as error:
            self.get_logger().warning(
                f"command ignored: {error}", throttle_duration_sec=_WARNING_PERIOD
            )
            return
        if not np.isfinite(action).all():
            self.get_logger().warning(
                f"command ignored: it is not finite ({action.tolist()})",
                throttle_duration_sec=_WARNING_PERIOD,
            )
            return
        self._simulation.command(action)

    # Services.

    def _on_reset_world(self, _: Any, response: Any) -> Any:
        self._reset(self._chosen_seed())
        response.success = True
        response.message = f"reset with seed {self._last_seed}"
        return response

    def _on_set_pause(self, request: Any, response: Any) -> Any:
        if request.data:
            self._simulation.pause()
        else:
            self._resume()
        response.success = True
        response.message = "paused" if request.data else "running"
        return response

    def _on_step_simulation(self, _: Any, response: Any) -> Any:
        if not self._simulation.paused:
            response.message = "not paused; call ~/set_pause with data: true first"
        elif self._simulation.over:
            response.message = "the episode has ended; call ~/reset_world first"
        else:
            self._simulation.step()
            response.success = True
            response.message = f"step {self._simulation.steps}"
        return response

    # Faults on purpose.

    def _begin_with_fault(self) -> None:
        wanted = self._parameter("inject_fault")
        if wanted and self._injector is None:
            raise ConfigurationError(f"inject_fault: {_INJECTION_OFF}")
        if wanted:
            self._apply_injection(wanted)

    def _check_injection(self, parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            if parameter.name != "inject_fault":
                continue
            if self._injector is None:
                return SetParametersResult(successful=False, reason=_INJECTION_OFF)
            try:
                parse_injection(parameter.value, self._embodiment)
            except ConfigurationError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _inject(self, parameters: list[Any]) -> None:
        for parameter in parameters:
            if parameter.name == "inject_fault" and self._injector is not None:
                self._apply_injection(parameter.value)

    def _apply_injection(self, text: str) -> None:
        assert self._injector is not None
        self._injector.apply(parse_injection(text, self._embodiment), time.monotonic())
        self._simulation.clock_offset = self._injector.clock_offset
        self.get_logger().warning(f"fault on purpose: {text or 'none'}")

    def _work_on_faults(self, now: float) -> float:
        """Send delayed messages, kill and restart publishers; returns the seconds until more."""
        injector = self._injector
        if injector is None:
            return _HOUSEKEEPING_PERIOD
        killed = injector.killed(now)
        for channel in self._embodiment.observation:
            publisher = self._observations.get(channel.topic)
            if channel.topic in killed and publisher is not None:
                self.destroy_publisher(self._observations.pop(channel.topic))
            elif channel.topic not in killed and publisher is None:
                self._observations[channel.topic] = self._observer(channel)
        for topic, data in injector.due(now):
            if topic in self._observations:
                self._observations[topic].publish(data)
        return max(0.0, min(injector.next_due() - now, _FAULT_PERIOD))

    # Construction and small helpers.

    def _observer(self, channel: ObservationChannel) -> Any:
        return self.create_publisher(_ros_class(channel.type), channel.topic, _QOS)

    def _create_entities(self) -> None:
        def publisher(type_name: str, topic: str | None, qos: QoSProfile = _QOS) -> Any:
            if topic is None:
                return None
            return self.create_publisher(_ros_class(type_name), topic, qos)

        contract = self._embodiment
        self._observations = {
            channel.topic: self._observer(channel) for channel in contract.observation
        }
        self._rewards = publisher(messages.FLOAT64, contract.episode_return.topic, _REWARD_QOS)
        self._ends = publisher(messages.STRING, contract.episode_end_topic)
        self._clocks = publisher(
            messages.CLOCK, "/clock" if self._parameter("publish_clock") else None
        )
        self._commands = self.create_subscription(
            _ros_class(contract.action.type.value),
            contract.action.topic,
            self._on_command,
            _QOS,
            raw=True,
        )
        self.create_service(Trigger, "~/reset_world", self._on_reset_world)
        self.create_service(SetBool, "~/set_pause", self._on_set_pause)
        self.create_service(Trigger, "~/step_simulation", self._on_step_simulation)

    def _parameter(self, name: str) -> Any:
        return self.get_parameter(name).value

    def _chosen_seed(self) -> int:
        seed = int(self._parameter("seed"))
        return seed if seed >= 0 else self._last_seed + 1

    def _reset(self, seed: int) -> None:
        self._last_seed = seed
        self._simulation.reset(seed)

    def _resume(self) -> None:
        self._last_sent = time.monotonic()  # silence counts from here
        self._simulation.resume()

    def destroy_node(self) -> None:
        """Close the viewer and release the ROS entities."""
        if self._viewer is not None:
            self._viewer.close()
        super().destroy_node()

    def _open_viewer(self, robot: Any) -> Any:
        try:
            # MuJoCo ends the whole process when GLFW finds no display, so ask GLFW before.
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                if not importlib.import_module("glfw").init():
                    raise OSError("GLFW finds no display")
            viewer = importlib.import_module("mujoco.viewer")
            return viewer.launch_passive(robot.model, robot.data)
        except Exception as error:  # GLFW and OpenGL fail in many ways; none is worth the robot
            self.get_logger().warning(f"no viewer window ({error}); running headless")
            return None

    def _sync_viewer(self, now: float) -> None:
        if self._viewer is not None and now - self._viewer_synced >= _VIEWER_PERIOD:
            self._viewer_synced = now
            self._viewer.sync()


def _usage() -> str:
    lines = [
        f"  {name} (default {default!r}): {descriptor.description}"
        for name, (default, descriptor) in _parameters().items()
    ]
    return _USAGE + "\n".join(lines)


def _run() -> None:
    node = SimNode()
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while rclpy.ok():
            executor.spin_once(timeout_sec=node.work())
    finally:
        executor.shutdown()
        node.destroy_node()


def _fail(text: str) -> int:
    print(f"sim: error: {text}", file=sys.stderr)
    return 2


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal or the context's shutdown; returns the exit code."""
    arguments = sys.argv if args is None else ["sim", *args]
    try:
        others = remove_ros_args(arguments)[1:]
    except RuntimeError as error:  # of rclpy's own kinds, for arguments it cannot parse
        return _fail(" ".join(str(error).split()))
    if others and others[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if others:
        return _fail(
            f"unknown argument '{others[0]}'; parameters are given after --ros-args as "
            "-p NAME:=VALUE (see --help)"
        )
    # Python's own handler would raise KeyboardInterrupt anywhere; rclpy's ends the spinning.
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        rclpy.init(args=arguments)
        _run()
    except (GacError, ParameterException, NameValidationException) as error:
        return _fail(str(error))
    except Exception:
        # A signal may shut ROS down at any line; what fails because of that is no failure.
        if rclpy.ok():
            raise
    finally:
        rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
