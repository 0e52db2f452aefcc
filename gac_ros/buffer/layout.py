"""Which topics an episode's bag holds, for whoever writes one without a running controller."""

from __future__ import annotations

from gac_ros import messages
from gac_ros.buffer.reader import DECISION, FAULT, PLAN
from gac_ros.embodiment import Embodiment

_CONTROLLER = "gac_controller"


def recorded_roles(
    embodiment: Embodiment, *, with_plan: bool, with_faults: bool = False
) -> dict[str, str]:
    """What a bag holds: embodiment topic, or role, to message type."""
    roles: dict[str, str] = {channel.topic: channel.type for channel in embodiment.observation}
    roles[embodiment.action.topic] = embodiment.action.type.value
    if with_plan:
        roles[PLAN] = messages.STRING
    roles[DECISION] = messages.FLOAT64_MULTI_ARRAY
    if with_faults:
        roles[FAULT] = messages.STRING
    if embodiment.episode_return.topic is not None:
        roles[embodiment.episode_return.topic] = messages.FLOAT64
    if embodiment.episode_end_topic is not None:
        roles[embodiment.episode_end_topic] = messages.STRING
    return roles


def topic_name(role: str) -> str:
    """Topic in the bag, as a controller without a namespace resolves it."""
    if role in (PLAN, DECISION, FAULT):
        return f"/{_CONTROLLER}/{role}"
    return role if role.startswith("/") else f"/{role}"
