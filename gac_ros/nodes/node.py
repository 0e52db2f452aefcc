"""The lifecycle node `gac_controller`."""

from __future__ import annotations

import gc
import math
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter

from gac_ros.buffer.recorder import EpisodeRecorder
from gac_ros.buffer.writer import check_writable
from gac_ros.embodiment import Embodiment
from gac_ros.errors import GacError
from gac_ros.nodes.crew import make_crew
from gac_ros.nodes.diagnostics import Diagnostics
from gac_ros.nodes.driver import EpisodeDriver
from gac_ros.nodes.inbox import Inbox
from gac_ros.nodes.link import Link
from gac_ros.nodes.parameters import Settings, Tick, declare_parameters, read_settings
from gac_ros.nodes.pilot import Pilot
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.nodes.repair import start_repair
from gac_ros.nodes.retention import PERIOD, Retention
from gac_ros.nodes.safeguard import Safeguard
from gac_ros.nodes.services import EpisodeServices, refuse_impossible_transitions
from gac_ros.nodes.states import Hooks

_SUCCESS = TransitionCallbackReturn.SUCCESS
_DIAGNOSTICS_PERIOD = 1.0


class GacController(LifecycleNode):
    """Wires parameters, services, topics and timers to an `EpisodeDriver`.

    configure loads the model and creates every entity, activate enables publishing, deactivate
    interrupts a running episode and sends the safe action last, cleanup releases everything.

    Attributes:
        failure: what made the last transition fail; None after one that succeeded.
    """

    def __init__(self) -> None:
        super().__init__("gac_controller")
        self.failure: Exception | None = None
        self._resources = ExitStack()
        self._driver: EpisodeDriver | None = None
        self._safeguard: Safeguard | None = None
        self._active = False
        self._finalized = False
        self._quiet = False
        self.inbox = Inbox(self)
        declare_parameters(self, configured=lambda: self._driver is not None)
        refuse_impossible_transitions(self)

    # --- lifecycle --------------------------------------------------------------------------------

    def start(self) -> None:
        """Configure and activate at once.

        Raises:
            GacError: a user's mistake, told by nothing but this exception.
            RuntimeError: a defect; its traceback has been logged.
        """
        self._quiet = True
        for name, trigger in (
            ("configure", self.trigger_configure),
            ("activate", self.trigger_activate),
        ):
            if trigger() != _SUCCESS:
                if isinstance(self.failure, GacError):
                    raise self.failure
                raise RuntimeError(f"cannot {name}") from self.failure
        self._quiet = False

    def stop(self) -> None:
        """Deactivate and clean up, from whatever state; the safe action goes out last."""
        if not self._finalized and self.trigger_shutdown() != _SUCCESS:
            raise RuntimeError("cannot shut down")

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and create every entity."""
        return self._transition("configure", self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable publishing."""
        return self._transition("activate", partial(self._activate, state))

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Interrupt a running episode and send the safe action last."""
        return self._transition("deactivate", partial(self._deactivate, state))

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything that configure made."""
        return self._transition("clean up", self._release)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """As deactivate, if active, and cleanup."""

        def shut_down() -> None:
            if self._active:
                self._deactivate(state)
            self._release()
            self._finalized = True

        return self._transition("shut down", shut_down)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything after a defect, so that the node can be configured anew."""
        return self._transition("recover", partial(self._recover, state))

    def _transition(self, name: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """Run a transition; rclpy would swallow what it raises."""
        self.failure = None
        try:
            action()
        except GacError as error:
            self.failure = error
            if not self._quiet:
                self.get_logger().error(f"cannot {name}: {error}")
            return TransitionCallbackReturn.FAILURE
        except Exception as error:
            self.failure = error
            self.get_logger().error(f"cannot {name}:\n{traceback.format_exc()}")
            return TransitionCallbackReturn.ERROR
        return _SUCCESS

    def _configure(self) -> None:
        settings = read_settings(self)
        crew = make_crew(settings, self.get_logger())
        robot = crew.robot
        with ExitStack() as resources:
            resources.callback(crew.close)
            if settings.record_directory is not None:
                check_writable(settings.record_directory)
            link, recorded = self._make_link(resources, settings, robot.embodiment)
            pilot = Pilot(robot, recorded, settings, self.get_logger())
            hooks = Hooks(self._label, self._forget_label, self._give_up)
            driver = EpisodeDriver(
                crew, recorded, pilot, self.inbox, settings, hooks, self.get_logger()
            )
            resources.callback(driver.close)
            link.listen(driver)
            safeguard = Safeguard(
                self, driver, pilot, recorded, settings, lambda: self._active, self.inbox.fail
            )
            resources.callback(safeguard.close)
            diagnostics = Diagnostics(self, driver, pilot, recorded)
            resources.callback(diagnostics.close)
            services = EpisodeServices(self, driver, lambda: self._active)
            resources.callback(services.close)
            period = robot.embodiment.control_period
            self._add_timer(resources, period, safeguard.watch)
            self._add_timer(resources, _DIAGNOSTICS_PERIOD, diagnostics.publish)
            if settings.tick is Tick.TIMER:
                # The one timer that follows simulated time: it takes the steps of the robot.
                self._add_timer(resources, period, driver.tick, self.get_clock())
            self._resources = resources.pop_all()
        self._driver = driver
        self._safeguard = safeguard
        # What was loaded stays; scanning it again and again would hold up the control loop.
        gc.collect()
        gc.freeze()
        self.get_logger().info(
            f"configured for {robot.embodiment.name} with {robot.checkpoint.path}"
        )

    def _activate(self, state: LifecycleState) -> None:
        super().on_activate(state)
        self._active = True
        assert self._driver is not None
        assert self._safeguard is not None
        self._driver.announce()
        self._safeguard.announce()

    def _deactivate(self, state: LifecycleState) -> None:
        assert self._driver is not None
        self._driver.stop()
        super().on_deactivate(state)
        self._active = False

    def _release(self) -> None:
        self._driver = None
        self._safeguard = None
        self._resources.close()
        gc.unfreeze()

    def _recover(self, state: LifecycleState) -> None:
        if self._active and self._driver is not None:
            self._driver.stop()
        super().on_deactivate(state)
        self._active = False
        self._release()

    # --- parts ------------------------------------------------------------------------------------

    def _make_link(
        self, resources: ExitStack, settings: Settings, embodiment: Embodiment
    ) -> tuple[Link, RecordedLink]:
        link = Link(self, embodiment, lock_step=settings.lock_step)
        resources.callback(link.close)
        recorder = None
        if settings.record_directory is not None:
            recorder = EpisodeRecorder(
                capacity=settings.record_queue_size,
                sync_period=settings.record_sync_period,
                min_free=settings.record_min_free,
            )
            resources.callback(recorder.close)
            if settings.record_repair:
                start_repair(settings.record_directory, self.get_logger())
            if settings.record_retention.bounded:
                retention = Retention(
                    settings.record_directory, settings.record_retention, self.get_logger()
                )
                retention.look()
                self._add_timer(resources, PERIOD, retention.look)
        recorded = RecordedLink(
            embodiment, link, recorder, settings.record_directory, self._ros_nanoseconds
        )
        return link, recorded

    def _add_timer(
        self,
        resources: ExitStack,
        period: float,
        callback: Callable[[], object],
        clock: Clock | None = None,
    ) -> None:
        clock = clock or Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(period, callback, clock=clock)
        resources.callback(self.destroy_timer, timer)

    def _ros_nanoseconds(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _label(self) -> float | None:
        label = self.get_parameter("episode_return").value
        return label if math.isfinite(label) else None

    def _forget_label(self) -> None:
        if self._label() is not None:
            self.set_parameters([Parameter("episode_return", value=math.nan)])

    def _give_up(self) -> None:
        if self._active:
            self.trigger_deactivate()
