"""How fast messages are decoded, against one by one with rosbags.

Both decode the same bytes in turns in one process, so that the ratios hold on a busy machine too.
What is decoded are all float64 numbers of a message; that they are equal is checked.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from gac_ros import messages
from gac_ros.bench.goals import SpeedGoal, at_least
from gac_ros.bench.spread import Spread
from gac_ros.buffer.columns import decode_columns
from gac_ros.errors import GacError

WANTED_RATIO = 5.0
_JOINTS = 7


class DecodingSpeed(BaseModel):
    """Messages of one type decoded in a second of processor time.

    Attributes:
        type: message type.
        size: bytes of a message.
        numbers: float64 numbers in it.
        rosbags: its deserialisation, one message after the other.
        columns: all messages at once, into one array.
        ratio: of the two, in each round.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    size: int
    numbers: int
    rosbags: Spread
    columns: Spread
    ratio: Spread

    def goal(self) -> SpeedGoal:
        """The ratio that is wanted."""
        return at_least(f"{self.type}: times rosbags' rate", self.ratio.median, WANTED_RATIO)


def measure_decoding(
    *, count: int, rounds: int, on_round: Callable[[], None] | None = None
) -> list[DecodingSpeed]:
    """Decode messages of each common type.

    Args:
        count: messages of a type.
        rounds: how often.
        on_round: called after each round of a type.

    Raises:
        GacError: the numbers of the two are not equal.
    """
    rng = np.random.default_rng(0)
    speeds = []
    for kind, build in _builders().items():
        data = [messages.serialize(build(rng, stamp)) for stamp in range(count)]
        speeds.append(_measure(kind, data, rounds, on_round))
    return speeds


def _builders() -> dict[str, Callable[[np.random.Generator, int], Any]]:
    names = [f"joint_{number}" for number in range(_JOINTS)]

    def joint_state(rng: np.random.Generator, stamp: int) -> Any:
        values = {name: rng.normal(size=_JOINTS) for name in ("position", "velocity", "effort")}
        return messages.joint_state(stamp, names, **values)

    return {
        messages.JOINT_STATE: joint_state,
        messages.ODOMETRY: lambda rng, stamp: messages.odometry(
            stamp, *(rng.normal(size=size) for size in (3, 4, 3, 3))
        ),
        messages.IMU: lambda rng, stamp: messages.imu(
            stamp, *(rng.normal(size=size) for size in (4, 3, 3))
        ),
        messages.FLOAT64_MULTI_ARRAY: lambda rng, _: messages.float64_multi_array(
            rng.normal(size=_JOINTS)
        ),
        messages.FLOAT64: lambda rng, _: messages.float64(rng.normal()),
        messages.TWIST: lambda rng, _: messages.twist(rng.normal(size=3), rng.normal(size=3)),
    }


def _measure(
    kind: str, data: list[bytes], rounds: int, on_round: Callable[[], None] | None
) -> DecodingSpeed:
    deserialize = messages.typestore().deserialize_cdr
    expected = np.array([all_numbers(deserialize(each, kind)) for each in data])
    width = expected.shape[1]
    rates: dict[str, list[float]] = {"rosbags": [], "columns": []}
    for _ in range(rounds):
        start = time.process_time()
        for each in data:
            deserialize(each, kind)
        rates["rosbags"].append(len(data) / (time.process_time() - start))
        start = time.process_time()
        made = decode_columns(data, kind, all_numbers, width)
        rates["columns"].append(len(data) / (time.process_time() - start))
        if made.values.tobytes() != expected.tobytes():
            raise GacError(f"{kind}: the numbers differ from those of rosbags; this is a defect")
        if on_round is not None:
            on_round()
    return DecodingSpeed(
        type=kind,
        size=len(data[0]),
        numbers=width,
        rosbags=Spread.of(rates["rosbags"]),
        columns=Spread.of(rates["columns"]),
        ratio=Spread.of(np.array(rates["columns"]) / rates["rosbags"]),
    )


def all_numbers(message: Any) -> NDArray[np.float64]:
    """Every float64 number of a message, in the order of its fields."""
    found: list[float] = []
    _collect(message, found)
    return np.array(found)


def _collect(value: Any, found: list[float]) -> None:
    if isinstance(value, float):
        found.append(value)
    elif isinstance(value, np.ndarray):
        found.extend(value.tolist() if value.dtype == np.float64 else ())
    elif isinstance(value, list):
        for each in value:
            _collect(each, found)
    elif is_dataclass(value):
        for field in fields(value):
            _collect(getattr(value, field.name), found)
