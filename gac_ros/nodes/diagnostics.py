"""The controller's `/diagnostics`, once a second. Nothing is decided by them."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from gac_ros.nodes.driver import EpisodeDriver
from gac_ros.nodes.pilot import Pilot
from gac_ros.nodes.recorded_link import RecordedLink
from gac_ros.nodes.states import State


class Diagnostics:
    """Reports what changed since the last report. It owns its publisher."""

    def __init__(
        self,
        node: Any,
        driver: EpisodeDriver,
        pilot: Pilot,
        link: RecordedLink,
    ) -> None:
        self._node = node
        self._driver = driver
        self._statistics = pilot.statistics
        self._safety = pilot.safety
        self._link = link
        self._reported = time.monotonic()
        self._decisions = 0
        self._overruns = 0
        self._safe_actions = 0
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        # Both load code at their first call, 6 to 10 ms each, which no robot should wait for.
        _quantiles([0.0])
        self.publish()

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._publisher)

    def publish(self) -> None:
        """Publish one report."""
        now = time.monotonic()
        counted = self._statistics
        rate = (counted.decisions - self._decisions) / max(now - self._reported, 1e-9)
        level, message = self._judge()
        status = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()}: control",
            message=message,
            hardware_id=self._driver.robot.embodiment.name,
            values=[
                KeyValue(key=key, value=value) for key, value in self._values(now, rate).items()
            ],
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
        self._reported = now
        self._decisions = counted.decisions
        self._overruns = counted.overruns
        self._safe_actions = counted.safe_actions

    def _judge(self) -> tuple[bytes, str]:
        counted = self._statistics
        if counted.safe_actions > self._safe_actions:
            waiting = self._driver.state is State.READY
            level = DiagnosticStatus.WARN if waiting else DiagnosticStatus.ERROR
            return level, f"safe action: {counted.safe_reason}"
        if self._safety.active:
            return DiagnosticStatus.ERROR, f"fault: {self._active_faults()}"
        process = self._driver.robot.planning_process
        if process is not None and process.failure:
            return DiagnosticStatus.ERROR, process.failure
        if counted.last_error:
            return DiagnosticStatus.ERROR, counted.last_error
        if self._link.recording_failure:
            return DiagnosticStatus.ERROR, f"not recorded: {self._link.recording_failure}"
        if self._link.low_space:
            return DiagnosticStatus.ERROR, self._link.low_space
        if self._link.dropped:
            return DiagnosticStatus.WARN, f"{self._link.dropped} messages were not recorded"
        if counted.overruns > self._overruns:
            return DiagnosticStatus.WARN, f"{counted.overruns - self._overruns} late decisions"
        return DiagnosticStatus.OK, self._driver.state.public

    def _values(self, now: float, rate: float) -> dict[str, str]:
        counted = self._statistics
        log = self._driver.log
        values = {
            "episode state": self._driver.state.public,
            "episode id": log.episode_id if log else "",
            "episode steps": str(log.decisions if log else 0),
            "loop rate (Hz)": f"{rate:.1f}",
            "control rate (Hz)": f"{self._driver.robot.embodiment.control_rate:g}",
            "overruns": str(counted.overruns),
            "plan age (s)": _age(now, counted.planned),
            "changes of plan": str(counted.changes_of_plan),
            "safe actions": str(counted.safe_actions),
            "last safe reason": counted.safe_reason,
            "limited actions": str(self._safety.limited),
            "active faults": self._active_faults(),
            "undecodable messages": str(counted.undecodable),
            "dropped messages": str(self._link.dropped),
            "last error": counted.last_error,
        }
        if counted.latencies:
            p50, p99 = _quantiles(counted.latencies)
            values["latency p50 (ms)"] = f"{1e3 * p50:.3f}"
            values["latency p99 (ms)"] = f"{1e3 * p99:.3f}"
        for fault, count in self._safety.raised.items():
            values[f"fault {fault.value}"] = str(count)
        for channel in self._driver.robot.embodiment.observation:
            heard = counted.heard.get(channel.topic)
            values[f"age of {channel.topic} (s)"] = _age(now, heard)
        return values

    def _active_faults(self) -> str:
        return ", ".join(fault.value for fault in self._safety.active)


def _quantiles(latencies: Iterable[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    p50, p99 = np.quantile(np.array([*latencies]), [0.5, 0.99])
    return float(p50), float(p99)


def _age(now: float, then: float | None) -> str:
    return "never" if then is None else f"{now - then:.3f}"
