"""The topics of the robot that the controller is measured with; an echo needs no model for them."""

from __future__ import annotations

import numpy as np

from gac_ros import messages

JOINTS = ("rootx", "rootz", "rooty", "thigh", "leg", "foot")
STATE = "joint_states"
COMMANDS = "commands"
REWARD = "reward"


def state_messages(count: int) -> list[bytearray]:
    """CDR bytes of `count` different states; see `stamp`."""
    rng = np.random.default_rng(0)
    sizes = (len(JOINTS),)
    return [
        bytearray(
            messages.serialize(
                messages.joint_state(
                    0,
                    JOINTS,
                    position=rng.normal(size=sizes),
                    velocity=rng.normal(size=sizes),
                    effort=np.zeros(sizes),
                )
            )
        )
        for _ in range(count)
    ]
