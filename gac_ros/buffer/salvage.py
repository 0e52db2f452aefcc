"""Read what can be trusted of a broken MCAP file.

No framing is trusted: chunks are found wherever they lie, and only those whose CRC holds are
taken. A chunk that fails it may hold any number of wrong numbers, so it counts as lost.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Metadata, Schema

from gac_ros.buffer.reader import MESSAGE_HEAD, RECORD_HEAD, RecordedMessage
from gac_ros.buffer.writer import (
    CHANNELS_KEY,
    MCAP_RECORD,
    MESSAGES_KEY,
    METADATA_KEY,
    RECORD_DIGEST_KEY,
    record_digest,
)
from gac_ros.episode import EpisodeMetadata

# Start, end, uncompressed size, CRC, length of the compression's name (none), size of the records.
_CHUNK_HEAD = struct.Struct("<QQQIIQ")
# A chunk's opcode with a length below 2^40: what a search for chunks looks for.
_CHUNK_START = re.compile(b"\x06.{5}\x00\x00\x00", re.DOTALL)


@dataclass(frozen=True)
class Salvaged:
    """What is left of a recording.

    Attributes:
        messages: in their order; the sequence numbers leave room for those lost in between.
        types: bag topic to message type.
        metadata: the episode's, as known at its end or else before its start; None when neither
            can be read.
        total: messages that the recording held at its end; None when its end cannot be read.
    """

    messages: list[RecordedMessage]
    types: dict[str, str]
    metadata: EpisodeMetadata | None
    total: int | None


def salvage(content: bytes) -> Salvaged:
    """Everything of a recording that its own checksums vouch for."""
    described = list(_descriptions(content))
    channels: dict[int, tuple[str, str]] = {}
    for record in described:
        channels.update(_channels_of(record))
    chunks = list(_chunks(content))
    for chunk in chunks:
        channels.update(_channels_in(chunk.records))
    known = [metadata for metadata in map(_metadata_of, described) if metadata is not None]
    return Salvaged(
        messages=_in_sequence([(chunk, list(_messages(chunk, channels))) for chunk in chunks]),
        types=dict(channels.values()),
        # The one at the end knows more than the one at the start, if the end was reached.
        metadata=known[-1] if known else None,
        total=max(
            (int(record[MESSAGES_KEY]) for record in described if MESSAGES_KEY in record),
            default=None,
        ),
    )


# --- chunks --------------------------------------------------------------------------------------


class _Chunk(NamedTuple):
    records: bytes
    connected: bool  # nothing is missing between the chunk before and this one


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Every sound chunk."""
    position = end = 0
    while match := _CHUNK_START.search(content, position):
        start = match.start()
        records = _chunk_at(content, start)
        if records is None:
            position = start + 1
            continue
        connected = _connected(content, end, start)
        position = end = start + RECORD_HEAD.size + _CHUNK_HEAD.size + len(records)
        yield _Chunk(records, connected)


def _chunk_at(content: bytes, position: int) -> bytes | None:
    """Records of the uncompressed chunk that starts here; None when none does, or its CRC fails."""
    _, length = RECORD_HEAD.unpack_from(content, position)
    head = position + RECORD_HEAD.size
    if length < _CHUNK_HEAD.size or head + length > len(content):
        return None
    _, _, uncompressed, crc, name, size = _CHUNK_HEAD.unpack_from(content, head)
    if name != 0 or uncompressed != size or size != length - _CHUNK_HEAD.size:
        return None
    records = content[head + _CHUNK_HEAD.size : head + length]
    return records if zlib.crc32(records) == crc else None


def _connected(content: bytes, position: int, start: int) -> bool:
    """Whether whole records, and nothing else, lead from the end of a chunk to the next start."""
    if position == 0:
        return True  # what comes before the first chunk is no message
    while position + RECORD_HEAD.size <= start:
        opcode, length = RECORD_HEAD.unpack_from(content, position)
        if opcode == Opcode.CHUNK:
            return False
        position += RECORD_HEAD.size + length
    return position == start


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and content of the records of a sound chunk."""
    position = 0
    while position + RECORD_HEAD.size <= len(content):
        opcode, length = RECORD_HEAD.unpack_from(content, position)
        start = position + RECORD_HEAD.size
        position = start + length
        yield opcode, content[start:position]


def _channels_in(records: bytes) -> dict[int, tuple[str, str]]:
    """Topic and type of every channel that a chunk announces, by its number."""
    names: dict[int, str] = {}
    channels: dict[int, tuple[str, str]] = {}
    for opcode, record in _records(records):
        if opcode == Opcode.SCHEMA:
            schema = Schema.read(ReadDataStream(BytesIO(record)))
            names[schema.id] = schema.name
        elif opcode == Opcode.CHANNEL:
            channel = Channel.read(ReadDataStream(BytesIO(record)))
            if channel.schema_id in names:
                channels[channel.id] = (channel.topic, names[channel.schema_id])
    return channels


def _messages(chunk: _Chunk, channels: dict[int, tuple[str, str]]) -> Iterator[RecordedMessage]:
    for opcode, record in _records(chunk.records):
        if opcode != Opcode.MESSAGE:
            continue
        channel, sequence, stamp, _ = MESSAGE_HEAD.unpack_from(record)
        if channel in channels:
            body = record[MESSAGE_HEAD.size :]
            yield RecordedMessage(*channels[channel], stamp, body, sequence)


def _in_sequence(
    parts: list[tuple[_Chunk, list[RecordedMessage]]],
) -> list[RecordedMessage]:
    """The messages of all chunks, each once.

    Recordings that give no sequence numbers get some, with room for a lost message wherever chunks
    do not follow each other.
    """
    told = any(message.sequence for _, messages in parts for message in messages)
    found: list[RecordedMessage] = []
    following = 0
    for chunk, messages in parts:
        following += not chunk.connected and not told
        for message in messages:
            sequence = message.sequence if told else following
            if sequence >= following:
                found.append(message._replace(sequence=sequence))
                following = sequence + 1
    return found


# --- descriptions --------------------------------------------------------------------------------


def _descriptions(content: bytes) -> Iterator[dict[str, str]]:
    """The recording's own descriptions whose digests hold, in their order."""
    for match in re.finditer(re.escape(MCAP_RECORD.encode()), content):
        start = match.start() - RECORD_HEAD.size - 4  # 4: the length of the name
        if start < 0:
            continue
        opcode, length = RECORD_HEAD.unpack_from(content, start)
        if opcode != Opcode.METADATA:
            continue
        body = content[start + RECORD_HEAD.size : start + RECORD_HEAD.size + length]
        try:
            record = Metadata.read(ReadDataStream(BytesIO(body))).metadata
        # Damaged bytes break in more ways than can be listed.
        except Exception:
            continue
        if record.get(RECORD_DIGEST_KEY) == record_digest(record):
            yield record


def _channels_of(record: dict[str, str]) -> dict[int, tuple[str, str]]:
    content: dict[str, Any] = json.loads(record[CHANNELS_KEY])
    return {int(number): (topic, kind) for number, (topic, kind) in content.items()}


def _metadata_of(record: dict[str, str]) -> EpisodeMetadata | None:
    if METADATA_KEY not in record:
        return None
    try:
        return EpisodeMetadata.model_validate(json.loads(record[METADATA_KEY]))
    except ValueError:
        return None  # of another version of gac_ros
