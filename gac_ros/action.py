"""Turn actions into command messages and back, by the embodiment's contract."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.embodiment import CommandKind, Embodiment
from gac_ros.errors import DecodeError
from gac_ros.patterns import Template


class ActionEncoder:
    """Serialises the commands of one robot as `encode_action` has them, some ten times as fast.

    It may be used from several threads.

    Attributes:
        stamped: whether commands have a stamp.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self.stamped = embodiment.action.type in (
            CommandKind.JOINT_STATE,
            CommandKind.JOINT_TRAJECTORY,
        )
        self._template = Template(
            encode_action(embodiment, np.zeros(embodiment.action_size), 0),
            partial(decode_action, embodiment),
            stamped=self.stamped,
        )

    def encode(self, action: NDArray[np.float64], stamp: int = 0) -> bytes:
        """CDR bytes of the command of an action, shape (A,); stamp in nanoseconds."""
        return self._template.fill(action, stamp)


def encode_action(embodiment: Embodiment, action: NDArray[np.float64], stamp: int) -> Any:
    """Command message of an action, shape (A,); stamp in nanoseconds."""
    contract = embodiment.action
    names = embodiment.action_names
    if contract.type is CommandKind.ARRAY:
        return messages.float64_multi_array(action)
    if contract.type is CommandKind.JOINT_STATE:
        return messages.joint_state(stamp, names, **{contract.interface: action})
    if contract.type is CommandKind.JOINT_TRAJECTORY:
        plural = {"position": "positions", "velocity": "velocities", "effort": "effort"}
        return messages.joint_trajectory(
            stamp,
            names,
            time_from_start=embodiment.control_period,
            **{plural[contract.interface]: action},
        )
    values = dict(zip(names, action, strict=True))
    return messages.twist(
        [values.get(f"linear.{axis}", 0.0) for axis in "xyz"],
        [values.get(f"angular.{axis}", 0.0) for axis in "xyz"],
    )


def decode_action(embodiment: Embodiment, message: Any) -> NDArray[np.float64]:
    """The action, shape (A,), of a command message.

    Raises:
        DecodeError: the message has another length or lacks a joint.
    """
    contract = embodiment.action
    if contract.type is CommandKind.ARRAY:
        values = np.array(message.data, dtype=np.float64)
        if len(values) != embodiment.action_size:
            raise DecodeError(
                f"{contract.topic}: the command has {len(values)} numbers, the embodiment "
                f"'{embodiment.name}' has {embodiment.action_size}"
            )
        return values
    if contract.type is CommandKind.TWIST:
        return np.array(
            [
                getattr(getattr(message, part), axis)
                for part, axis in (name.split(".") for name in embodiment.action_names)
            ],
            dtype=np.float64,
        )
    if contract.type is CommandKind.JOINT_STATE:
        names, values = list(message.name), getattr(message, contract.interface)
    else:
        if not message.points:
            raise DecodeError(f"{contract.topic}: the trajectory has no point")
        plural = {"position": "positions", "velocity": "velocities", "effort": "effort"}
        names = list(message.joint_names)
        values = getattr(message.points[0], plural[contract.interface])
    missing = [name for name in embodiment.action_names if name not in names]
    if missing or len(values) != len(names):
        raise DecodeError(
            f"{contract.topic}: joint {', '.join(missing) or '(any)'} is missing from the command"
        )
    return np.array([values[names.index(name)] for name in embodiment.action_names], dtype=float)
