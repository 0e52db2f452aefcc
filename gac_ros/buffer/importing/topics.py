"""Which topic of a recording is which of the embodiment's, and whether it holds what it should."""

from __future__ import annotations

from collections.abc import Mapping

from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

from gac_ros import messages
from gac_ros.buffer.importing.recording import RecordedTopic, Recording
from gac_ros.buffer.layout import recorded_roles
from gac_ros.buffer.reader import DECISION
from gac_ros.embodiment import Embodiment
from gac_ros.errors import ConfigurationError, EmbodimentError

# What rosbags calls a type that an MCAP file's summary leaves out.
_UNKNOWN = "__schemaless__"


def find_topics(
    recording: Recording,
    embodiment: Embodiment,
    *,
    namespace: str = "",
    renamed: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The recorded topic of every topic of the embodiment; rewards and the end may be missing.

    Args:
        recording: an open recording.
        embodiment: the robot's contract.
        namespace: of the robot in the recording; its relative topics are below it.
        renamed: recorded topic of topics of the embodiment that were called otherwise.

    Raises:
        ConfigurationError: a topic that was renamed is not the embodiment's.
        EmbodimentError: a topic is missing, or holds other messages.
    """
    kinds = recorded_roles(embodiment, with_plan=False)
    kinds.pop(DECISION)
    renamed = dict(renamed or {})
    for role in renamed:
        if role not in kinds:
            raise ConfigurationError(
                f"--topic {role}=...: the embodiment '{embodiment.name}' has no topic '{role}'; it "
                f"has {', '.join(kinds)}"
            )
    optional = {embodiment.episode_return.topic, embodiment.episode_end_topic}
    found: dict[str, str] = {}
    for role, kind in kinds.items():
        name = renamed.get(role) or _resolve(role, namespace)
        topic = recording.topics.get(name)
        if topic is None or topic.count == 0:
            if role in optional and role not in renamed:
                continue
            raise _missing(recording, embodiment, role, name)
        check_type(recording, topic, kind, whose=f"the embodiment '{embodiment.name}'")
        found[role] = name
    return found


def check_type(recording: Recording, topic: RecordedTopic, kind: str, *, whose: str) -> None:
    """Refuse a topic that holds other messages than expected.

    Raises:
        EmbodimentError: the type differs, or has the same name but another definition.
    """
    if _UNKNOWN in topic.types:
        raise EmbodimentError(
            f"{recording.path}: its index does not tell the types of messages; write it anew with "
            "mcap recover"
        )
    if topic.types != (kind,):
        raise EmbodimentError(
            f"{recording.path}: {topic.name} holds {' and '.join(topic.types)}, {whose} says "
            f"{kind}; give the robot that was recorded, or another topic with --topic"
        )
    expected = messages.typestore().hash_rihs01(kind)
    for definition in topic.definitions:
        if _hash(definition, kind) != expected:
            raise EmbodimentError(
                f"{recording.path}: {topic.name} holds a {kind} that is defined otherwise than in "
                "ROS 2 Jazzy; its numbers would be misread: convert the recording to Jazzy's"
            )


def _hash(definition: MessageDefinition, kind: str) -> str | None:
    """RIHS01 hash of a definition; None when it cannot be understood."""
    try:
        store = get_typestore(Stores.EMPTY)
        if definition.format == MessageDefinitionFormat.MSG:
            store.register(get_types_from_msg(definition.data, kind))
        else:
            for part in definition.data.split("=" * 80 + "\n"):
                if part.strip():
                    text = part.split("\n", 1)[1] if part.startswith("IDL: ") else part
                    store.register(get_types_from_idl(text))
        return str(store.hash_rihs01(kind))
    # The parser meets any text here and raises what it likes.
    except Exception:
        return None


def _resolve(role: str, namespace: str) -> str:
    if role.startswith("/"):
        return role
    return f"/{namespace.strip('/')}/{role}" if namespace.strip("/") else f"/{role}"


def _missing(recording: Recording, embodiment: Embodiment, role: str, name: str) -> EmbodimentError:
    like = [each for each in recording.topics if each.endswith(f"/{role.lstrip('/')}")]
    if len(like) == 1:
        hint = f"--topic {role}={like[0]}"
        namespace = like[0].removesuffix(role).strip("/")
        if namespace and not role.startswith("/"):
            hint += f", or --namespace {namespace}"
    else:
        hint = "give the robot that was recorded, or its name with --topic"
    names = [topic.name for topic in recording.topics.values() if topic.count]
    some = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return EmbodimentError(
        f"{recording.path}: no message on {name}, which the embodiment '{embodiment.name}' needs "
        f"(recorded: {some or 'nothing'}); {hint}"
    )
