"""Turn observations back into the messages that an embodiment decodes them from."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.embodiment import Embodiment, ObservationChannel

_Build = Callable[[NDArray[np.float64], int], Any]
_NAN3 = np.full(3, np.nan)
_NAN4 = np.full(4, np.nan)
_STAMPED: dict[str, Callable[[int], Any]] = {
    messages.ODOMETRY: lambda stamp: messages.odometry(stamp, _NAN3, _NAN4, _NAN3, _NAN3),
    messages.IMU: lambda stamp: messages.imu(stamp, _NAN4, _NAN3, _NAN3),
    messages.POSE_STAMPED: lambda stamp: messages.pose_stamped(stamp, _NAN3, _NAN4),
    messages.TWIST: lambda stamp: messages.twist(_NAN3, _NAN3),
}


class ObservationEncoder:
    """The inverse of an embodiment's decoding.

    What the observation does not tell (a joint's position where only its velocity is observed) is
    NaN in the message: not known, and never a zero that looks measured.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._channels: list[tuple[str, slice, NDArray[np.float64], _Build]] = []
        start = 0
        for channel in embodiment.observation:
            end = start + len(channel.fields)
            scale = np.array([field.scale for field in channel.fields])
            self._channels.append((channel.topic, slice(start, end), scale, _builder(channel)))
            start = end

    def messages(self, observation: NDArray[np.float64], stamp: int) -> dict[str, Any]:
        """Message of every channel by its topic.

        Args:
            observation: float64 (O,), as the policy sees it, within the fields' clips.
            stamp: nanoseconds.
        """
        return {
            topic: build(_unscaled(observation[part], scale), stamp)
            for topic, part, scale, build in self._channels
        }


def _unscaled(values: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    """Numbers, shape (F,), that give `values` when they are scaled, to the last bit if any do.

    Numbers that were decoded once come from such ones, though division alone may miss them.
    """
    nearest = values / scale
    found = nearest.copy()
    for direction in (-np.inf, np.inf):
        neighbour = np.nextafter(nearest, direction)
        fits = (found * scale != values) & (neighbour * scale == values)
        found[fits] = neighbour[fits]
    return found


def _builder(channel: ObservationChannel) -> _Build:
    if channel.type == messages.JOINT_STATE:
        return _joint_state_builder(channel)
    if channel.type == messages.FLOAT64_MULTI_ARRAY:
        return _array_builder(channel)
    return _path_builder(channel)


def _joint_state_builder(channel: ObservationChannel) -> _Build:
    wanted = [field.select.split(".", 1) for field in channel.fields]
    names = list(dict.fromkeys(joint for _, joint in wanted))
    # A quantity that no field reads stays empty, as JointState's definition has it.
    quantities = sorted({quantity for quantity, _ in wanted})
    rows = [quantities.index(quantity) for quantity, _ in wanted]
    columns = [names.index(joint) for _, joint in wanted]

    def build(values: NDArray[np.float64], stamp: int) -> Any:
        numbers = np.full((len(quantities), len(names)), np.nan)
        numbers[rows, columns] = values
        by_quantity = dict(zip(quantities, numbers, strict=True))
        return messages.joint_state(stamp, names, **by_quantity)

    return build


def _array_builder(channel: ObservationChannel) -> _Build:
    indices = [int(field.select.split(".")[1]) for field in channel.fields]

    def build(values: NDArray[np.float64], _stamp: int) -> Any:
        numbers = np.full(max(indices) + 1, np.nan)
        numbers[indices] = values
        return messages.float64_multi_array(numbers)

    return build


def _path_builder(channel: ObservationChannel) -> _Build:
    make = _STAMPED[channel.type]
    paths = [field.select.split(".") for field in channel.fields]

    def build(values: NDArray[np.float64], stamp: int) -> Any:
        message = make(stamp)
        for path, value in zip(paths, values, strict=True):
            setattr(reduce(getattr, path[:-1], message), path[-1], float(value))
        return message

    return build
