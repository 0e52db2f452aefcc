"""The embodiment: one contract between a robot and a policy.

A YAML file names, in order, what is observed (topic, message type, joint or field path, unit,
scale, clip, maximum age) and what is commanded (joints, limits, rate limits, safe values). The
same contract decodes live messages, bag messages and simulator state, so that training and
control can never disagree about the order or the scale of a number.
"""

from __future__ import annotations

import hashlib
import json
import math
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gac_ros.errors import EmbodimentError, UnknownRobotError
from gac_ros.faults import Reaction, SafetyContract
from gac_ros.plain_data import differences, load_yaml
from gac_ros.quantities import STAMPED, UNITS_OF_QUANTITY, units_of
from gac_ros.resources import config_directory


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ObservationField(_Contract):
    """One number of the observation.

    `select` is `position.JOINT`, `velocity.JOINT` or `effort.JOINT` in a JointState, `data.INDEX`
    in a Float64MultiArray, and the field's path in every other message. The policy sees
    `clip(scale * value)`.
    """

    select: str
    unit: str
    scale: float = 1.0
    clip: tuple[float, float] | None = None

    @field_validator("scale")
    @classmethod
    def _scale_is_not_zero(cls, value: float) -> float:
        if value == 0.0:
            raise ValueError("a scale of 0 erases the field; remove the field instead")
        return value

    @field_validator("clip")
    @classmethod
    def _clip_is_ordered(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value is not None and value[0] >= value[1]:
            raise ValueError(f"the lower bound {value[0]} must be below the upper bound {value[1]}")
        return value


class ObservationChannel(_Contract):
    """One topic that carries part of the observation; `max_age` in seconds."""

    topic: str = Field(min_length=1)
    type: Literal[
        "sensor_msgs/msg/JointState",
        "nav_msgs/msg/Odometry",
        "sensor_msgs/msg/Imu",
        "std_msgs/msg/Float64MultiArray",
        "geometry_msgs/msg/Twist",
        "geometry_msgs/msg/PoseStamped",
    ]
    max_age: float = Field(gt=0.0)
    fields: tuple[ObservationField, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields_fit_the_message(self) -> ObservationChannel:
        for field in self.fields:
            allowed = units_of(self.type, field.select)
            if allowed and field.unit not in allowed:
                raise ValueError(
                    f"{field.select}: unit '{field.unit}' is not one of {', '.join(allowed)}; "
                    "ROS messages are in SI units (REP-103), use 'scale' to convert"
                )
        return self


class ActionField(_Contract):
    """One number of the action, named by its joint (or by its field path in a Twist).

    Attributes:
        joint: joint name; `linear.x` ... `angular.z` when the output is a Twist.
        unit: unit of the command.
        limits: lowest and highest command.
        rate_limit: largest change per second, or None for no limit.
        acceleration_limit: largest change of that per second, or None for no limit.
        safe: the command that leaves the robot safe.
    """

    joint: str = Field(min_length=1)
    unit: str
    limits: tuple[float, float]
    rate_limit: Annotated[float, Field(gt=0.0)] | None = None
    acceleration_limit: Annotated[float, Field(gt=0.0)] | None = None
    safe: float = 0.0

    @model_validator(mode="after")
    def _limits_are_ordered(self) -> ActionField:
        low, high = self.limits
        if low >= high:
            raise ValueError(
                f"limits of '{self.joint}' are the wrong way round: the lower limit {low} must be "
                f"below the upper limit {high}"
            )
        if not low <= self.safe <= high:
            raise ValueError(
                f"the safe value {self.safe} of '{self.joint}' is outside its limits "
                f"[{low}, {high}]"
            )
        return self


class CommandKind(str, Enum):
    """Which message carries the command."""

    ARRAY = "std_msgs/msg/Float64MultiArray"
    JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
    JOINT_STATE = "sensor_msgs/msg/JointState"
    TWIST = "geometry_msgs/msg/Twist"


class ActionContract(_Contract):
    """Where the command goes and what it holds.

    `interface` says what a JointTrajectory or JointState commands: position, velocity or effort.
    """

    topic: str = Field(min_length=1)
    type: CommandKind
    interface: Literal["position", "velocity", "effort"] = "effort"
    fields: tuple[ActionField, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields_fit_the_message(self) -> ActionContract:
        seen: set[str] = set()
        for field in self.fields:
            if field.joint in seen:
                raise ValueError(f"joint '{field.joint}' appears twice; name each joint once")
            seen.add(field.joint)
            if self.type is CommandKind.TWIST:
                allowed = units_of("geometry_msgs/msg/Twist", field.joint)
            else:
                allowed = UNITS_OF_QUANTITY[self.interface]
            if field.unit not in allowed:
                raise ValueError(
                    f"{field.joint}: unit '{field.unit}' is not one of {', '.join(allowed)}"
                )
        return self


class EpisodeReturn(_Contract):
    """Where the return of an episode comes from.

    `reward_topic` sums the std_msgs/Float64 messages of `topic`; `label` is given when the
    episode ends; `function` calls `package.module:function(episode) -> float`.
    """

    source: Literal["reward_topic", "label", "function"]
    topic: str | None = None
    function: str | None = None

    @model_validator(mode="after")
    def _source_is_complete(self) -> EpisodeReturn:
        needed = {"reward_topic": "topic", "function": "function"}.get(self.source)
        for key in ("topic", "function"):
            given = getattr(self, key) is not None
            if given and key != needed:
                raise ValueError(f"'{key}' has no meaning with source '{self.source}'; remove it")
            if not given and key == needed:
                raise ValueError(f"source '{self.source}' needs the key '{key}'")
        if self.function is not None and self.function.count(":") != 1:
            raise ValueError(f"function '{self.function}' must read 'package.module:function'")
        return self


class Embodiment(_Contract):
    """The validated, frozen contract of one robot."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    description: str = ""
    control_rate: float = Field(gt=0.0)
    episode_length: int = Field(gt=0)
    observation: tuple[ObservationChannel, ...] = Field(min_length=1)
    action: ActionContract
    episode_return: EpisodeReturn = Field(alias="return")
    episode_end_topic: str | None = None
    safety: SafetyContract = Field(default_factory=SafetyContract)

    @model_validator(mode="after")
    def _nothing_is_double(self) -> Embodiment:
        topics: set[str] = set()
        for channel in self.observation:
            if channel.topic in topics:
                raise ValueError(
                    f"topic '{channel.topic}' appears twice in 'observation'; put all its fields "
                    "under one entry"
                )
            topics.add(channel.topic)
            selected: set[str] = set()
            for field in channel.fields:
                if field.select in selected:
                    raise ValueError(
                        f"'{field.select}' of '{channel.topic}' appears twice; remove one"
                    )
                selected.add(field.select)
        if self.action.topic in topics:
            raise ValueError(f"topic '{self.action.topic}' is both observed and commanded")
        return self

    @model_validator(mode="after")
    def _safety_fits_the_robot(self) -> Embodiment:
        reactions = self.safety.reactions()
        by_position = (
            self.action.interface == "position" and self.action.type is not CommandKind.TWIST
        )
        if Reaction.HOLD in reactions and not by_position:
            raise ValueError(
                "safety: 'hold' sends the last command again, which keeps a robot moving that is "
                "not commanded by position; choose another reaction"
            )
        for field in self.action.fields:
            if Reaction.ZERO in reactions and not field.limits[0] <= 0.0 <= field.limits[1]:
                raise ValueError(
                    f"safety: 'zero' is outside the limits of '{field.joint}'; choose 'safe'"
                )
        stamped = {channel.topic: channel.type in STAMPED for channel in self.observation}
        for topic in self.safety.max_stamp_age:
            if not stamped.get(topic, False):
                raise ValueError(
                    f"safety: max_stamp_age of '{topic}': no such observation topic, or its "
                    "messages have no stamp"
                )
        return self

    @property
    def observation_size(self) -> int:
        """Number of observation fields O."""
        return sum(len(channel.fields) for channel in self.observation)

    @property
    def action_size(self) -> int:
        """Number of action fields A."""
        return len(self.action.fields)

    @property
    def control_period(self) -> float:
        """Seconds between two actions."""
        return 1.0 / self.control_rate

    @property
    def longest_stall(self) -> float:
        """Seconds for which the control loop may stand still: two of its periods at least."""
        return max(self.safety.max_stall, 2.0 * self.control_period)

    @cached_property
    def observation_names(self) -> tuple[str, ...]:
        """`topic:select` of every observation field, in order."""
        return tuple(
            f"{channel.topic}:{field.select}"
            for channel in self.observation
            for field in channel.fields
        )

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """Joint name of every action field, in order."""
        return tuple(field.joint for field in self.action.fields)

    @cached_property
    def action_low(self) -> NDArray[np.float64]:
        """Lower limits, shape (A,)."""
        return _frozen([field.limits[0] for field in self.action.fields])

    @cached_property
    def action_high(self) -> NDArray[np.float64]:
        """Upper limits, shape (A,)."""
        return _frozen([field.limits[1] for field in self.action.fields])

    @cached_property
    def action_max_step(self) -> NDArray[np.float64]:
        """Largest change from one action to the next, shape (A,); infinite where unlimited."""
        return _frozen(
            [
                math.inf if field.rate_limit is None else field.rate_limit * self.control_period
                for field in self.action.fields
            ]
        )

    @cached_property
    def action_max_change(self) -> NDArray[np.float64]:
        """Largest difference between two such changes in a row, (A,); infinite where unlimited."""
        return _frozen(
            [
                math.inf
                if field.acceleration_limit is None
                else field.acceleration_limit * self.control_period**2
                for field in self.action.fields
            ]
        )

    @cached_property
    def safe_action(self) -> NDArray[np.float64]:
        """The action that leaves the robot safe, shape (A,)."""
        return _frozen([field.safe for field in self.action.fields])

    def to_dict(self) -> dict[str, Any]:
        """Plain data with the keys of the YAML file."""
        return self.model_dump(mode="json", by_alias=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the contract; description and safety do not count."""
        content = _shared(self)
        for field in content["action"]["fields"]:
            # A later key: contracts without it keep the digest they had before.
            if field["acceleration_limit"] is None:
                del field["acceleration_limit"]
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    def differences(self, other: Embodiment) -> list[str]:
        """What differs from `other`, one line each; empty when the contracts are the same.

        How faults are met is the controller's business, and may change without a new policy.
        """
        return differences(_shared(self), _shared(other))


def _shared(embodiment: Embodiment) -> dict[str, Any]:
    """What a robot and a policy must agree on."""
    content = embodiment.to_dict()
    del content["description"], content["safety"]
    return content


def _frozen(values: list[float]) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def embodiment_from_dict(content: Any, *, origin: str) -> Embodiment:
    """Validate plain data; `origin` names the file in errors.

    Raises:
        EmbodimentError: naming the origin, the key and the remedy.
    """
    if not isinstance(content, dict):
        raise EmbodimentError(f"{origin}: the file must hold a mapping with the key 'name' first")
    try:
        return Embodiment.model_validate(content)
    except ValidationError as error:
        raise EmbodimentError(_first_problem(origin, error)) from error


def _first_problem(origin: str, error: ValidationError) -> str:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in problem["loc"]) or "(top level)"
    remedies = {
        "extra_forbidden": "unknown key; remove it or correct its spelling",
        "missing": "required key is missing; add it",
    }
    what = remedies.get(problem["type"])
    if what is None:
        what = problem["msg"].removeprefix("Value error, ")
        given = problem["input"]
        if isinstance(given, (str, int, float, bool)) and problem["type"] != "value_error":
            what += f" (it is {given!r})"
    more = len(error.errors()) - 1
    return f"{origin}: {where}: {what}" + (f" (and {more} more)" if more else "")


def load_embodiment(path: Path | str) -> Embodiment:
    """Read and validate an embodiment file.

    Raises:
        EmbodimentError: the file cannot be read or breaks the contract's rules.
    """
    path = Path(path)
    try:
        content = load_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise EmbodimentError(f"{path}: cannot be read ({error}); check the path") from error
    except yaml.YAMLError as error:
        summary = " ".join(str(error).split())
        raise EmbodimentError(f"{path}: not valid YAML: {summary}") from error
    return embodiment_from_dict(content, origin=str(path))


def known_robots() -> tuple[str, ...]:
    """Names of the packaged embodiments."""
    return tuple(sorted(path.stem for path in (config_directory() / "embodiments").glob("*.yaml")))


def find_embodiment(robot: str) -> Embodiment:
    """Embodiment of a packaged robot's name, or of the path of a YAML file.

    Raises:
        UnknownRobotError: neither a packaged robot nor a file.
        EmbodimentError: the file is wrong.
    """
    if robot.endswith((".yaml", ".yml")):
        return load_embodiment(robot)
    if robot not in known_robots():
        raise UnknownRobotError(
            f"unknown robot '{robot}'; known are {', '.join(known_robots())}, "
            "or give the path of an embodiment file (*.yaml)"
        )
    return load_embodiment(config_directory() / "embodiments" / f"{robot}.yaml")
