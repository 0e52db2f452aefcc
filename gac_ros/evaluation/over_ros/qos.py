"""Quality of service from a file, as `ros2 bag play --qos-profile-overrides-path` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSProfile,
    ReliabilityPolicy,
)

from gac_ros.errors import ConfigurationError

_POLICIES: dict[str, Any] = {
    "history": HistoryPolicy,
    "reliability": ReliabilityPolicy,
    "durability": DurabilityPolicy,
    "liveliness": LivelinessPolicy,
}
_DURATIONS = ("deadline", "lifespan", "liveliness_lease_duration")
_OTHERS = ("depth", "avoid_ros_namespace_conventions")
_DEPTH = 10


def read_qos(path: Path) -> dict[str, QoSProfile]:
    """Profiles by topic; what a topic leaves out is reliable, volatile, the last 10.

    Raises:
        ConfigurationError: the file cannot be read, or a profile is wrong.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); check the path") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(
            f"{path}: not valid YAML: {' '.join(str(error).split())}"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, dict) for v in content.values()):
        raise ConfigurationError(
            f"{path}: must map each topic to its profile, such as '/odom: {{reliability: "
            "best_effort}'"
        )
    return {str(topic): _profile(f"{path}: {topic}", given) for topic, given in content.items()}


def _profile(origin: str, given: Mapping[str, Any]) -> QoSProfile:
    known = (*_POLICIES, *_DURATIONS, *_OTHERS)
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ConfigurationError(f"{origin}: unknown key '{unknown[0]}'; known: {', '.join(known)}")
    values: dict[str, Any] = {
        "depth": given.get("depth", _DEPTH),
        "reliability": ReliabilityPolicy.RELIABLE,
        "avoid_ros_namespace_conventions": bool(given.get(_OTHERS[1], False)),
    }
    if not isinstance(values["depth"], int) or values["depth"] < 0:
        raise ConfigurationError(f"{origin}: depth is {values['depth']!r}, not a whole number")
    for key, policies in _POLICIES.items():
        if key in given:
            try:
                values[key] = policies[str(given[key]).upper()]
            except KeyError as error:
                names = ", ".join(policy.name.lower() for policy in policies)
                raise ConfigurationError(
                    f"{origin}: {key} is '{given[key]}', not one of {names}"
                ) from error
    for key in _DURATIONS:
        if key in given:
            values[key] = _duration(f"{origin}: {key}", given[key])
    return QoSProfile(**values)


def _duration(origin: str, given: Any) -> Duration:
    try:
        return Duration(seconds=int(given["sec"]), nanoseconds=int(given["nsec"]))
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"{origin} must read {{sec: 0, nsec: 0}}") from error
