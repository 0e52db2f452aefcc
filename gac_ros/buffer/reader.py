"""Read an episode's bag back: its metadata, its messages, and the arrays they stand for.

Nothing here trusts a file. What is not exactly what was written is refused with an `EpisodeError`
that names the bag and the remedy: a wrong number must never reach a training run silently.
"""

from __future__ import annotations

import hashlib
import importlib
import io
import json
import math
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Chunk
from mcap.stream_reader import get_chunk_data_stream
from mcap.summary import Summary

from gac_ros import messages
from gac_ros.buffer.steps import DECISION, FAULT, PLAN, RecordedMessage, replay
from gac_ros.buffer.writer import (
    MCAP_DIGEST_KEY,
    METADATA_DIGEST_KEY,
    METADATA_FILE,
    METADATA_KEY,
)
from gac_ros.embodiment import Embodiment, embodiment_from_dict
from gac_ros.episode import Episode, EpisodeMetadata
from gac_ros.errors import DecodeError, EmbodimentError, EpisodeError

__all__ = [
    "DECISION",
    "FAULT",
    "PLAN",
    "ForeignRecordingError",
    "RecordedMessage",
    "read_episode",
    "read_messages",
    "read_metadata",
    "read_plan",
    "read_promise",
    "scored",
    "verify",
    "verify_content",
    "verify_digests",
]

_DAMAGED = "the bag is damaged; restore it from a copy or move it out of the buffer"
RECORD_HEAD = struct.Struct("<BQ")
MESSAGE_HEAD = struct.Struct("<HIQQ")


class ForeignRecordingError(EpisodeError):
    """A recording that is described well, but as none of our episodes."""


def read_metadata(bag: Path) -> EpisodeMetadata:
    """Metadata of an episode's bag.

    Raises:
        EpisodeError: there is no episode, or its metadata is damaged.
    """
    return _open_bag(Path(bag)).metadata


def read_promise(bag: Path) -> tuple[EpisodeMetadata, int]:
    """Metadata of an episode's bag, and how many messages it should hold.

    Raises:
        EpisodeError: there is no episode, or its metadata is damaged.
    """
    opened = _open_bag(Path(bag))
    return opened.metadata, opened.total


def read_messages(bag: Path) -> Iterator[RecordedMessage]:
    """All messages of an episode's bag in the order of their log times.

    The file is read and checked as a whole before the first message comes: its digest, every
    chunk's CRC, and the number of messages.

    Raises:
        EpisodeError: the bag is damaged.
    """
    return iter(_messages(_open_bag(Path(bag))))


def read_plan(bag: Path) -> dict[str, Any] | None:
    """The last plan of an episode, as published; None when the episode has none.

    Raises:
        EpisodeError: the bag is damaged.
    """
    opened = _open_bag(Path(bag))
    topic = opened.metadata.topics.get(PLAN)
    plans = [message for message in _messages(opened) if message.topic == topic]
    return parse_plan(bag, plans[-1]) if plans else None


def parse_plan(bag: Path, message: RecordedMessage) -> dict[str, Any]:
    """Content of a recorded plan.

    Raises:
        EpisodeError: it is not JSON.
    """
    try:
        plan = json.loads(messages.deserialize(message.data, message.type).data)
    except (DecodeError, ValueError, AttributeError) as error:
        raise EpisodeError(f"{bag}: the plan is not JSON in a std_msgs/String ({error})") from error
    if not isinstance(plan, dict):
        raise EpisodeError(f"{bag}: the plan is not a JSON object")
    return plan


def read_episode(
    bag: Path, embodiment: Embodiment | None = None, *, trusted: bool = True
) -> Episode:
    """Turn a bag into arrays by replaying its messages in their recorded order.

    A step is a command followed by its decision. Its observation is the newest value of every
    channel at the command; its reward is the sum of the rewards from its command to that of the
    next step. A bag without a decision topic takes each command as a step. Steps whose messages
    the recorder dropped keep their place, as invalid steps.

    The arrays are always finite, so that they can be gathered and masked: a number that was
    never heard, or was not finite, holds the field's last finite value (the next one before the
    first, 0 when there is none), and its step is not valid.

    The return is that of the metadata, or else what the embodiment's `return` says. A scoring
    function is called only when a trusted `embodiment` is given: a bag must not choose what code
    runs here.

    Args:
        bag: the bag's directory.
        embodiment: the contract to decode by, which must be that of the bag; the bag's own when
            None.
        trusted: whether `embodiment` comes from the user, not from some bag.

    Raises:
        EpisodeError: the bag is damaged or holds no step.
        EmbodimentError: the bag was recorded with another embodiment.
    """
    bag = Path(bag)
    opened = _open_bag(bag)
    contract = _contract(opened, embodiment)
    episode = replay(bag, opened.metadata, contract, _messages(opened))
    function = contract.episode_return.function
    if function and trusted and embodiment is not None:
        return scored(bag, episode, function)
    return _finite(bag, episode)


def scored(bag: Path, episode: Episode, function: str) -> Episode:
    """An episode with the return that a scoring function gives it, unless it has one.

    Args:
        bag: named in errors.
        episode: as read.
        function: `module:name` of the user's own function of an episode.

    Raises:
        EpisodeError: the function fails, or the return is not finite.
    """
    if episode.episode_return is None:
        episode = replace(episode, episode_return=_score(bag, episode, function))
    return _finite(bag, episode)


def _finite(bag: Path, episode: Episode) -> Episode:
    if episode.episode_return is not None and not math.isfinite(episode.episode_return):
        raise EpisodeError(
            f"{bag}: the return is {episode.episode_return}; move the bag out of the buffer"
        )
    return episode


def verify(bag: Path) -> EpisodeMetadata:
    """Check a bag's digests, which need no decoding, and return its metadata.

    Raises:
        EpisodeError: the bag is damaged.
    """
    opened = _open_bag(Path(bag))
    _content(opened)
    return opened.metadata


def verify_digests(bag: Path) -> tuple[EpisodeMetadata, str]:
    """As `verify`, with the SHA-256 of all that the bag says.

    Raises:
        EpisodeError: the bag is damaged.
    """
    opened = _open_bag(Path(bag))
    _content(opened)
    return opened.metadata, opened.digest


def verify_content(bag: Path) -> int:
    """Check all that can be checked of a bag: digests, CRCs, counts, and that it decodes.

    Returns:
        The number of its messages.

    Raises:
        EpisodeError: the bag is damaged, or holds no step.
    """
    opened = _open_bag(Path(bag))
    found = _messages(opened)
    replay(opened.path, opened.metadata, _contract(opened, None), found)
    return len(found)


# --- files ---------------------------------------------------------------------------------------


class _Bag(NamedTuple):
    path: Path
    metadata: EpisodeMetadata
    mcap: Path
    mcap_digest: str
    total: int  # messages of the bag
    counts: dict[str, int]  # and of each of its topics
    metadata_digest: str

    @property
    def digest(self) -> str:
        """SHA-256 of metadata and messages; equal bags, wherever they lie, have the same."""
        return hashlib.sha256(f"{self.metadata_digest} {self.mcap_digest}".encode()).hexdigest()


def _open_bag(bag: Path) -> _Bag:
    text = _read(bag, METADATA_FILE).decode("utf-8", errors="replace")
    try:
        information = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
            "rosbag2_bagfile_information"
        ]
        storage = information["storage_identifier"]
        names = [str(name) for name in information["relative_file_paths"]]
        total = int(information["message_count"])
        counts = {
            str(topic["topic_metadata"]["name"]): int(topic["message_count"])
            for topic in information.get("topics_with_message_count") or ()
        }
        custom = dict(information.get("custom_data") or {})
    # Damaged YAML breaks in more ways than can be listed (recursion and overflow among them).
    except Exception as error:
        raise EpisodeError(
            f"{bag}: {METADATA_FILE} is not that of a rosbag2 bag; {_DAMAGED}"
        ) from error
    if METADATA_KEY not in custom:
        raise ForeignRecordingError(
            f"{bag}: not an episode of gac_ros ({METADATA_KEY} is missing from its custom_data); "
            "take it in with gac buffer import"
        )
    metadata = _metadata(bag, custom)
    if storage != "mcap" or len(names) != 1 or Path(names[0]).name != names[0]:
        raise EpisodeError(f"{bag}: an episode is one MCAP file, not {names} ({storage})")
    return _Bag(
        path=bag,
        metadata=metadata,
        mcap=bag / names[0],
        mcap_digest=str(custom.get(MCAP_DIGEST_KEY)),
        total=total,
        counts=counts,
        metadata_digest=str(custom[METADATA_DIGEST_KEY]),
    )


def _metadata(bag: Path, custom: dict[str, Any]) -> EpisodeMetadata:
    text = str(custom[METADATA_KEY])
    if hashlib.sha256(text.encode()).hexdigest() != custom.get(METADATA_DIGEST_KEY):
        raise EpisodeError(f"{bag}: {METADATA_KEY} does not match its SHA-256; {_DAMAGED}")
    try:
        return EpisodeMetadata.model_validate(json.loads(text))
    except ValueError as error:
        raise EpisodeError(
            f"{bag}: {METADATA_KEY} is not of format 1; it comes from another version of gac_ros"
        ) from error


def _read(bag: Path, name: str) -> bytes:
    try:
        return (bag / name).read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise EpisodeError(
            f"{bag}: {name} cannot be read ({reason}); check that this is an episode's directory"
        ) from error


def _content(bag: _Bag) -> bytes:
    data = _read(bag.path, bag.mcap.name)
    if hashlib.sha256(data).hexdigest() != bag.mcap_digest:
        raise EpisodeError(
            f"{bag.path}: {bag.mcap.name} ({len(data)} bytes) does not match its SHA-256; "
            f"{_DAMAGED}"
        )
    return data


def _messages(bag: _Bag) -> list[RecordedMessage]:
    data = _content(bag)
    try:
        found = _parse(data)
    # The digest holds, so this was written so: by another tool or a defect of ours.
    except Exception as error:
        raise EpisodeError(f"{bag.path}: {bag.mcap.name}: {error}; {_DAMAGED}") from error
    if len(found) != bag.total:
        raise EpisodeError(
            f"{bag.path}: {len(found)} messages where {METADATA_FILE} promises {bag.total}; "
            f"{_DAMAGED}"
        )
    counts = Counter(message.topic for message in found)
    for topic in {*counts, *bag.counts}:
        if counts[topic] != bag.counts.get(topic, 0):
            raise EpisodeError(
                f"{bag.path}: {counts[topic]} messages of {topic} where {METADATA_FILE} promises "
                f"{bag.counts.get(topic, 0)}; {_DAMAGED}"
            )
    return found


def _parse(data: bytes) -> list[RecordedMessage]:
    """Every message of an MCAP file in file order, which the writer keeps that of log times."""
    stream = io.BytesIO(data)
    summary = SeekingReader(stream, validate_crcs=True).get_summary()
    if summary is None:
        raise ValueError("the index is missing")
    found: list[RecordedMessage] = []
    for index in summary.chunk_indexes:
        stream.seek(index.chunk_start_offset + RECORD_HEAD.size)
        chunk = Chunk.read(ReadDataStream(stream))
        content, length = get_chunk_data_stream(chunk, validate_crc=True)
        found += _split(content.read(length), summary)
    return found


def _split(content: bytes, summary: Summary) -> Iterator[RecordedMessage]:
    """The messages of a chunk; one `struct` call a record is ten times mcap's own rate."""
    topics = {
        number: (channel.topic, summary.schemas[channel.schema_id].name)
        for number, channel in summary.channels.items()
    }
    position = 0
    while position < len(content):
        opcode, length = RECORD_HEAD.unpack_from(content, position)
        start = position + RECORD_HEAD.size
        position = start + length
        if position > len(content):
            raise ValueError("a record is cut short")
        if opcode == Opcode.MESSAGE:
            channel, sequence, stamp, _ = MESSAGE_HEAD.unpack_from(content, start)
            body = content[start + MESSAGE_HEAD.size : position]
            yield RecordedMessage(*topics[channel], stamp, body, sequence)


# --- messages to arrays --------------------------------------------------------------------------


def _contract(bag: _Bag, embodiment: Embodiment | None) -> Embodiment:
    try:
        own = embodiment_from_dict(bag.metadata.embodiment, origin=str(bag.path))
    except EmbodimentError as error:
        raise EpisodeError(f"{error}; the bag comes from another version of gac_ros") from error
    if embodiment is None:
        return own
    differences = embodiment.differences(own)
    if differences:
        raise EmbodimentError(
            f"{bag.path}: recorded with another embodiment than '{embodiment.name}': "
            f"{'; '.join(differences)}; keep robots in separate folders, or give the "
            "embodiment the bag was recorded with"
        )
    return embodiment


def _score(bag: Path, episode: Episode, function: str) -> float:
    module, _, name = function.partition(":")
    try:
        return float(getattr(importlib.import_module(module), name)(episode))
    # The function is the user's own code and may fail in any way; its name is what helps.
    except Exception as error:
        raise EpisodeError(
            f"{bag}: the scoring function '{function}' failed ({type(error).__name__}: {error}); "
            "mend it or correct the embodiment's 'return'"
        ) from error
