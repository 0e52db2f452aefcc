"""What only the node can notice and must stop the robot for: emergency stops, clocks, strangers."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.clock import JumpThreshold
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from gac_ros.faults import Fault
from gac_ros.nodes.driver import EpisodeDriver
from gac_ros.nodes.guardian import Guardian
from gac_ros.nodes.parameters import Settings
from gac_ros.nodes.pilot import Pilot
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.nodes.states import State

_QOS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_PUBLISHERS_PERIOD = 0.1  # seconds between two looks at who publishes commands
_NANOSECONDS = 1e9


class Safeguard:
    """Raises the faults that do not show in observations and actions.

    It owns `~/emergency_stop` (a service and a topic), `~/reset_faults`, and the guardian's
    thread. In lock-step only emergency stops count: there time does not matter, and a robot that
    waits does not move.

    Args:
        node: creates the entities.
        driver: has the robot stopped.
        pilot: is told of the faults.
        link: whose command topic is watched.
        settings: of the node.
        active: whether commands may be sent now.
        failed: told of a defect of the guardian's thread.
    """

    def __init__(
        self,
        node: Any,
        driver: EpisodeDriver,
        pilot: Pilot,
        link: RecordedLink,
        settings: Settings,
        active: Callable[[], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        self._node = node
        self._driver = driver
        self._pilot = pilot
        self._active = active
        self._link = link
        self._command_topic = link.command_topic
        self._max_jump = link.embodiment.safety.max_clock_jump
        self._pressed = False
        self._looked = 0.0
        # Steady time, the node's time, and whether that is simulated.
        self._clocks: tuple[float, float, bool] | None = None
        # DDS joins no best-effort button to a reliable subscription. A reliable one is heard twice.
        self._subscriptions = [
            node.create_subscription(Bool, "~/emergency_stop", self._on_button, qos)
            for qos in (_QOS, qos_profile_sensor_data)
        ]
        self._services = [
            node.create_service(Trigger, "~/emergency_stop", self._on_stop),
            node.create_service(Trigger, "~/reset_faults", self._on_reset),
        ]
        self._timed = not settings.lock_step
        self._jumps = None
        self._guardian = None
        if self._timed:
            forward, backward = (Duration(seconds=sign * self._max_jump) for sign in (1.0, -1.0))
            self._jumps = node.get_clock().create_jump_callback(
                JumpThreshold(min_forward=forward, min_backward=backward, on_clock_change=False),
                post_callback=self._on_jump,
            )
            self._guardian = Guardian(pilot.safety, link, self._drives, failed)

    def close(self) -> None:
        """End the thread and destroy the entities."""
        if self._guardian is not None:
            self._guardian.close()
        if self._jumps is not None:
            self._jumps.unregister()
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        for service in self._services:
            self._node.destroy_service(service)

    def announce(self) -> None:
        """Publish which faults last."""
        self._link.announce_faults(self._pilot.safety.active)

    def watch(self) -> None:
        """The watchdog: once a control period of the steady clock."""
        if self._timed and self._active():
            self._compare_clocks()
            self._count_publishers()
        self._driver.watch()
        if self._guardian is not None:
            self._guardian.beat()

    def _drives(self) -> bool:
        return self._driver.state in (State.READY, State.RUNNING)

    # --- emergency stop ---------------------------------------------------------------------------

    def _on_button(self, message: Any) -> None:
        self._pressed = bool(message.data)
        if self._pressed:
            self._stop("pressed on the topic ~/emergency_stop")

    def _on_stop(self, _: Any, response: Any) -> Any:
        self._stop("called by the service ~/emergency_stop")
        response.success = True
        response.message = "stopped; ~/reset_faults ends it"
        return response

    def _stop(self, detail: str) -> None:
        self._pilot.raise_fault(Fault.EMERGENCY_STOP, detail)
        if self._active():
            self._driver.stop_the_robot()
        self._pilot.tell()

    def _on_reset(self, _: Any, response: Any) -> Any:
        if self._pressed:
            response.message = (
                "the emergency stop is still pressed; publish false on ~/emergency_stop first"
            )
            return response
        if self._guardian is not None:
            self._guardian.beat()  # the loop goes on, or it would not answer here
        faults = self._pilot.reset()
        if self._timed and self._active():
            # A stranger that is still there stops the robot again, before it moves.
            self._looked = 0.0
            self._count_publishers()
        names = ", ".join(fault.value for fault in faults)
        response.success = True
        response.message = f"reset: {names}" if faults else "there was no fault"
        return response

    # --- time and strangers -----------------------------------------------------------------------

    def _on_jump(self, jump: Any) -> None:
        """Simulated time jumped; rclpy tells it with the message that makes it jump."""
        if self._clocks is not None and self._clocks[1] > 0.0:  # else it has only just begun
            self._raise_jump(jump.delta.nanoseconds / _NANOSECONDS)
        self._clocks = None

    def _compare_clocks(self) -> None:
        """Notice that the system's clock was set, or that `use_sim_time` was.

        Simulated time may run at any rate; of its jumps rclpy tells.
        """
        clock = self._node.get_clock()
        seconds = clock.now().nanoseconds / _NANOSECONDS
        now = time.monotonic(), seconds, clock.ros_time_is_active
        before, self._clocks = self._clocks, now
        if before is None or (before[2] and now[2]):
            return
        jump = (now[1] - before[1]) - (now[0] - before[0])
        if abs(jump) > self._max_jump:
            self._raise_jump(jump)

    def _raise_jump(self, seconds: float) -> None:
        self._pilot.raise_fault(Fault.CLOCK_JUMPED, f"the clock jumped by {seconds:.3f} s")
        self._pilot.tell()

    def _count_publishers(self) -> None:
        now = time.monotonic()
        if now - self._looked < _PUBLISHERS_PERIOD:
            return
        self._looked = now
        safety = self._pilot.safety
        others = self._node.count_publishers(self._command_topic) - 1
        if others > 0:
            if Fault.DUPLICATE_PUBLISHER not in safety.active:
                detail = f"{others} more publish on {self._command_topic}: {self._strangers()}"
                self._pilot.raise_fault(Fault.DUPLICATE_PUBLISHER, detail, lasting=True)
                self._pilot.tell()
        elif Fault.DUPLICATE_PUBLISHER in safety.active:
            safety.end_cause(Fault.DUPLICATE_PUBLISHER, now)

    def _strangers(self) -> str:
        own = self._node.get_fully_qualified_name()
        found = [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self._command_topic)
        ]
        if own in found:
            found.remove(own)
        return ", ".join(found)
