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

import signal
import sys
import time
from typing import Any

import numpy as np
import rclpy
from rcl_interfaces.msg import SetParametersResult
from rclpy.exceptions import NameValidationException, ParameterException
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import remove_ros_args
from std_srvs.srv import SetBool, Trigger

from gac_ros import messages
from gac_ros.action import decode_action
from gac_ros.errors import ConfigurationError, DecodeError, GacError
from gac_ros.ros_types import ros_class
from gac_ros.sim import make_robot
from gac_ros.sim.disturbance import KINDS, Disturbance, DisturbedRobot
from gac_ros.sim.node_parameters import parameters, usage
from gac_ros.sim.observers import Observers
from gac_ros.sim.robot import SimulatedRobot
from gac_ros.sim.simulation import Simulation
from gac_ros.sim.viewer import Viewer

_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
# Observations may be superseded by newer ones; a reward that is lost is missing from the return.
_REWARD_QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)
_HOUSEKEEPING_PERIOD = 1.0  # s
_CONNECTION_POLL_PERIOD = 0.02  # s
_SILENCE_WARNING = 5.0  # s
_WARNING_PERIOD = 5.0  # s; each warning at most once in that time
_TOLERATED_LAG = 0.1  # share of wall-clock time


class SimNode(Node):  # type: ignore[misc, unused-ignore]
    """ROS entities around a `Simulation`.

    It creates everything at construction and releases everything in `destroy_node`. It needs no
    timer: whoever spins it calls `work` between callbacks.
    """

    def __init__(self) -> None:
        super().__init__("sim")
        for name, (default, descriptor) in parameters().items():
            self.declare_parameter(name, default, descriptor)
        robot = self._disturbed(
            make_robot(self._parameter("robot"), mjcf=self._parameter("mjcf") or None)
        )
        self._embodiment = robot.embodiment
        self._last_seed = -1
        self._create_entities()
        self.add_on_set_parameters_callback(self._check_fault)
        self.add_post_set_parameters_callback(self._follow_fault)
        self._simulation = Simulation(
            robot,
            self,
            lock_step=self._parameter("lock_step"),
            wait_for_command=self._parameter("wait_for_command"),
        )
        self._begin_with_fault()
        self._viewer = None if self._parameter("headless") else self._open_viewer(robot)
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
        self._observers.publish(messages_by_topic, time.monotonic())

    def episode_end(self, reason: str) -> None:
        """Publish that the episode has ended."""
        if self._ends is not None:
            self._ends.publish(messages.serialize(messages.string(reason)))

    # What drives the simulation.

    def work(self) -> float:
        """Do what is due now; returns the seconds until something is due again."""
        now = time.monotonic()
        if self._viewer is not None:
            self._viewer.sync(now)
        soon = min(_HOUSEKEEPING_PERIOD, self._observers.work(now))
        stalled = self._observers.stalled(now)
        if stalled > 0.0:
            self._last_sent = self._last_housekeeping = self._next_tick = now
            return min(soon, stalled)
        self._simulation.go_on()
        self._simulation.command_timeout = self._parameter("command_timeout")
        if self._simulation.over and self._parameter("auto_reset"):
            self._reset(self._last_seed + 1)
        if now - self._last_housekeeping >= _HOUSEKEEPING_PERIOD:
            self._keep_house(now)
        if self._simulation.lock_step:
            return min(soon, self._announce_when_connected())
        return min(soon, self._tick_when_due(now))

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
        missing = [f"a subscriber of {topic}" for topic in self._observers.unheard()]
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
        elif self._observers.stalled(time.monotonic()) > 0.0:
            response.message = "stalled on purpose; set inject_fault to '' first"
        else:
            self._simulation.step()
            response.success = True
            response.message = f"step {self._simulation.steps}"
        return response

    # Faults on purpose.

    def _begin_with_fault(self) -> None:
        wanted = self._parameter("inject_fault")
        if wanted:
            self._observers.check_fault(wanted)
            self._make_fault(wanted)

    def _check_fault(self, changed: list[Any]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name != "inject_fault":
                continue
            try:
                self._observers.check_fault(parameter.value)
            except ConfigurationError as error:
                return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _follow_fault(self, changed: list[Any]) -> None:
        for parameter in changed:
            if parameter.name == "inject_fault":
                self._make_fault(parameter.value)

    def _make_fault(self, text: str) -> None:
        now = time.monotonic()
        self._simulation.clock_offset = self._observers.make_fault(text, now)
        if self._observers.stalled(now) > 0.0:
            self._simulation.stall()
        self.get_logger().warning(f"fault on purpose: {text or 'none'}")

    # Construction and small helpers.

    def _create_entities(self) -> None:
        def publisher(type_name: str, topic: str | None, qos: QoSProfile = _QOS) -> Any:
            if topic is None:
                return None
            return self.create_publisher(ros_class(type_name), topic, qos)

        contract = self._embodiment
        self._observers = Observers(self, contract, _QOS, faulty=self._parameter("fault_injection"))
        self._rewards = publisher(messages.FLOAT64, contract.episode_return.topic, _REWARD_QOS)
        self._ends = publisher(messages.STRING, contract.episode_end_topic)
        self._clocks = publisher(
            messages.CLOCK, "/clock" if self._parameter("publish_clock") else None
        )
        self._commands = self.create_subscription(
            ros_class(contract.action.type.value),
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

    def _open_viewer(self, robot: SimulatedRobot) -> Viewer | None:
        try:
            return Viewer(robot)
        except ConfigurationError as error:  # no window is worth the robot
            self.get_logger().warning(f"{error}; running headless")
            return None


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
        print(usage())
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
