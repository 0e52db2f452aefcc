"""The controller's parameters: one table that declares, describes and checks them."""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)

from gac_ros.buffer.retention import RetentionPolicy
from gac_ros.errors import ConfigurationError
from gac_ros.planning import MODES, Mode
from gac_ros.replanning.config import WHEN, ReplanningConfig

_DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
# Seeds travel through JSON, which keeps whole numbers up to here.
_LARGEST_SEED = 2**53 - 1


class Tick(str, Enum):
    """What makes the controller act."""

    OBSERVATION = "observation"
    TIMER = "timer"


class Effect(Enum):
    """When a new value of a parameter takes effect."""

    START = "read when the node starts"
    CONFIGURE = "takes effect when the node is configured"
    EPISODE = "takes effect with the next episode"


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter.

    Attributes:
        name: nested with dots.
        default: decides the type as well.
        description: one sentence for `ros2 param describe`.
        effect: when a new value takes effect; it is refused when that is over.
        bounds: lowest and highest value of a number.
        choices: the values of a text.
        pattern: what a text must match.
    """

    name: str
    default: bool | int | float | str
    description: str
    effect: Effect
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    pattern: re.Pattern[str] | None = None

    def refusal(self, value: Any) -> str:
        """Why a value of the right type is no good; empty when it is."""
        if isinstance(value, float) and math.isinf(value):
            return f"{self.name}: {value} is not valid; give a finite number"
        if self.choices is not None and value not in self.choices:
            return f"{self.name}: '{value}' is not one of {', '.join(self.choices)}"
        if self.pattern is not None and not self.pattern.fullmatch(value):
            return f"{self.name}: '{value}' is not valid; {self.description}"
        return ""

    def descriptor(self) -> ParameterDescriptor:
        """The ROS descriptor."""
        descriptor = ParameterDescriptor(
            description=f"{self.description} ({self.effect.value})",
            read_only=self.effect is Effect.START,
        )
        if self.choices is not None:
            descriptor.additional_constraints = f"one of {', '.join(self.choices)}"
        if self.bounds is not None and isinstance(self.default, int):
            whole = [int(bound) for bound in self.bounds]
            descriptor.integer_range = [
                IntegerRange(from_value=whole[0], to_value=whole[1], step=1)
            ]
        elif self.bounds is not None:
            low, high = self.bounds
            descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
        return descriptor


PARAMETERS: tuple[ParameterSpec, ...] = (
    ParameterSpec(
        "robot",
        "pointmaze_umaze",
        "Name of a packaged embodiment, or the path of an embodiment file (*.yaml).",
        Effect.CONFIGURE,
    ),
    ParameterSpec(
        "checkpoint",
        "",
        "Checkpoint directory or training run; empty: the one packaged for the robot.",
        Effect.CONFIGURE,
    ),
    ParameterSpec(
        "deployment",
        "",
        "Folder in which gac improve says which checkpoint acts; the controller follows it from "
        "episode to episode. Empty: the parameter 'checkpoint' says it.",
        Effect.CONFIGURE,
    ),
    ParameterSpec(
        "device",
        "auto",
        "Where the model runs: auto, cpu, cuda or cuda:N.",
        Effect.CONFIGURE,
        pattern=_DEVICE,
    ),
    ParameterSpec(
        "torch_threads",
        1,
        "Processor threads of PyTorch; more than one slows a small model down.",
        Effect.CONFIGURE,
        bounds=(1, 256),
    ),
    ParameterSpec(
        "lock_step",
        False,
        "The simulator waits for each action: reliable inputs, no message ages, no watchdog.",
        Effect.CONFIGURE,
    ),
    ParameterSpec(
        "tick",
        "observation",
        "Act when an observation is complete (observation), or each control period (timer).",
        Effect.CONFIGURE,
        choices=tuple(tick.value for tick in Tick),
    ),
    ParameterSpec(
        "episode_end_grace",
        0.5,
        "Longest wait, in seconds, for the final observation and rewards of an episode; in "
        "lock-step, where nothing moves meanwhile, at least 10.",
        Effect.CONFIGURE,
        bounds=(0.0, 60.0),
    ),
    ParameterSpec(
        "record.enabled", True, "Record each episode as a rosbag2 bag.", Effect.CONFIGURE
    ),
    ParameterSpec(
        "record.directory",
        "episodes",
        "Folder that receives one bag per episode; created when missing.",
        Effect.CONFIGURE,
    ),
    ParameterSpec(
        "record.queue_size",
        20_000,
        "Messages that may wait for the disk; beyond it they are dropped and counted.",
        Effect.CONFIGURE,
        bounds=(1, 10_000_000),
    ),
    ParameterSpec(
        "record.sync_period",
        0.1,
        "Seconds after which messages are on their way to the disk; with what flushing takes, "
        "twice that can be lost to a crash or a power cut. 0.0 leaves it to the size of chunks.",
        Effect.CONFIGURE,
        bounds=(0.0, 60.0),
    ),
    ParameterSpec(
        "record.min_free_space",
        256.0,
        "MiB of the disk that stay free: below, the episode ends and none begins; 0.0 disables.",
        Effect.CONFIGURE,
        bounds=(0.0, 1e9),
    ),
    ParameterSpec(
        "record.repair",
        True,
        "Recover recordings that were cut off, in a process of its own, when configured.",
        Effect.CONFIGURE,
    ),
    *(
        ParameterSpec(
            f"replanning.{name}",
            field.default,
            field.description or "",
            Effect.CONFIGURE,
            choices=WHEN if name == "when" else None,
        )
        for name, field in ReplanningConfig.model_fields.items()
    ),
    ParameterSpec(
        "replanning.slowdown",
        0.0,
        "Seconds of computing added to each look, to see what a slow planner does; not in "
        "lock-step.",
        Effect.CONFIGURE,
        bounds=(0.0, 60.0),
    ),
    ParameterSpec(
        "record.max_episodes",
        0,
        "Episodes that the folder keeps at most, the worst go first; 0 keeps all.",
        Effect.CONFIGURE,
        bounds=(0, 10_000_000),
    ),
    ParameterSpec(
        "record.max_age",
        0.0,
        "Days for which the folder keeps episodes; 0.0 keeps all.",
        Effect.CONFIGURE,
        bounds=(0.0, 1e5),
    ),
    ParameterSpec(
        "record.max_size",
        0.0,
        "MiB of episodes that the folder keeps at most, the worst go first; 0.0 keeps all.",
        Effect.CONFIGURE,
        bounds=(0.0, 1e9),
    ),
    ParameterSpec(
        "record.keep_best",
        10,
        "Episodes with the highest returns that max_episodes, max_age and max_size leave alone.",
        Effect.CONFIGURE,
        bounds=(0, 10_000_000),
    ),
    ParameterSpec(
        "record.keep_newest",
        10,
        "Newest episodes that max_episodes, max_age and max_size leave alone.",
        Effect.CONFIGURE,
        bounds=(0, 10_000_000),
    ),
    ParameterSpec(
        "autostart",
        False,
        "Configure and activate at start-up instead of waiting for a lifecycle client.",
        Effect.START,
    ),
    ParameterSpec(
        "mode",
        "exploit",
        "How an episode is planned: exploit, explore or posterior; auto, with a deployment: "
        "explore, and exploit while a candidate is compared or on trial, and now and then while "
        "who acts is watched.",
        Effect.EPISODE,
        choices=(*MODES, "auto"),
    ),
    ParameterSpec(
        "seed",
        -1,
        "Seed of the plan; -1 draws a fresh one for each episode.",
        Effect.EPISODE,
        bounds=(-1, _LARGEST_SEED),
    ),
    ParameterSpec(
        "target_return",
        math.nan,
        "Return to aim at in explore and posterior; NaN: the planner's default.",
        Effect.EPISODE,
    ),
    ParameterSpec(
        "episode_return",
        math.nan,
        "Return of the running episode, for robots whose return is a label; set it before "
        "~/end_episode. NaN again after each episode.",
        Effect.EPISODE,
    ),
)


@dataclass(frozen=True)
class Settings:
    """Parameters that are read when the node is configured; `record_min_free` in bytes.

    `replanning_slowdown` in seconds.
    """

    robot: str
    checkpoint: str
    deployment: Path | None
    device: str
    torch_threads: int
    lock_step: bool
    tick: Tick
    episode_end_grace: float
    record_directory: Path | None
    record_queue_size: int
    record_sync_period: float
    record_min_free: int
    record_repair: bool
    replanning: ReplanningConfig
    replanning_slowdown: float
    record_retention: RetentionPolicy


@dataclass(frozen=True)
class EpisodeRequest:
    """Parameters of one episode; `target_return` None leaves it to the planner."""

    mode: Mode | Literal["auto"]
    seed: int
    target_return: float | None


def declare_parameters(node: Any, configured: Callable[[], bool]) -> None:
    """Declare the table's parameters on a node.

    Args:
        node: an rclpy node.
        configured: whether the node is configured now, so that it is too late for some changes.

    Raises:
        rclpy.exceptions.ParameterException: a value given at start-up is wrong.
    """
    specs = {spec.name: spec for spec in PARAMETERS}

    def check(parameters: list[Any]) -> SetParametersResult:
        for parameter in parameters:
            spec = specs.get(parameter.name)
            if spec is None:
                continue
            reason = spec.refusal(parameter.value)
            if not reason and spec.effect is Effect.CONFIGURE and configured():
                reason = f"{spec.name} {spec.effect.value}; clean the node up first"
            if reason:
                return SetParametersResult(successful=False, reason=reason)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)
    for spec in PARAMETERS:
        node.declare_parameter(spec.name, spec.default, spec.descriptor())


def read_settings(node: Any) -> Settings:
    """The parameters that count at configuration.

    Raises:
        ConfigurationError: a value of re-planning is out of its range.
    """

    def value(name: str) -> Any:
        return node.get_parameter(name).value

    directory = Path(value("record.directory")).expanduser().absolute()
    return Settings(
        robot=value("robot"),
        checkpoint=value("checkpoint"),
        deployment=Path(value("deployment")).expanduser().absolute()
        if value("deployment")
        else None,
        device=value("device"),
        torch_threads=value("torch_threads"),
        lock_step=value("lock_step"),
        tick=Tick(value("tick")),
        episode_end_grace=value("episode_end_grace"),
        record_directory=directory if value("record.enabled") else None,
        record_queue_size=value("record.queue_size"),
        record_sync_period=value("record.sync_period"),
        record_min_free=round(value("record.min_free_space") * 2**20),
        record_repair=value("record.repair"),
        replanning=_replanning(value),
        replanning_slowdown=value("replanning.slowdown"),
        # None where 0 stands for no bound.
        record_retention=RetentionPolicy(
            max_episodes=value("record.max_episodes") or None,
            max_age=value("record.max_age") * 86400.0 or None,
            max_bytes=round(value("record.max_size") * 2**20) or None,
            keep_best=value("record.keep_best"),
            keep_newest=value("record.keep_newest"),
        ),
    )


def _replanning(value: Callable[[str], Any]) -> ReplanningConfig:
    given = {name: value(f"replanning.{name}") for name in ReplanningConfig.model_fields}
    try:
        return ReplanningConfig.model_validate(given)
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ConfigurationError(
            f"replanning.{wrong['loc'][0]} is {wrong['input']}: {wrong['msg']}; correct it"
        ) from error


def read_request(node: Any) -> EpisodeRequest:
    """The parameters of the next episode, with a fresh seed if none is set."""
    seed = node.get_parameter("seed").value
    target = node.get_parameter("target_return").value
    return EpisodeRequest(
        mode=node.get_parameter("mode").value,
        seed=secrets.randbelow(2**31) if seed < 0 else seed,
        target_return=target if math.isfinite(target) else None,
    )
