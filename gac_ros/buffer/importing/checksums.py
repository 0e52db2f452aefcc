"""Tell whether damage to a recording's numbers could go unnoticed."""

from __future__ import annotations

import os
import struct
from pathlib import Path

from mcap.opcode import Opcode

from gac_ros.buffer.reader import RECORD_HEAD

_MAGIC_SIZE = 8
# A chunk's record begins with start, end and uncompressed size, each of 8 bytes; then its CRC.
_CHUNK_CRC = struct.Struct("<24xI")


def has_checksums(file: Path) -> bool:
    """Whether a checksum vouches for every message of a storage file; the reader compares them.

    MCAP has one a chunk, unless its writer left it out; sqlite3 has none, so that a flipped bit in
    a number makes another number, and nobody can know.

    Args:
        file: not compressed as a whole.

    Raises:
        OSError: it cannot be read.
    """
    if file.suffix != ".mcap":
        return False
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        position = _MAGIC_SIZE
        while position + RECORD_HEAD.size <= size:
            stream.seek(position)
            opcode, length = RECORD_HEAD.unpack(stream.read(RECORD_HEAD.size))
            position += RECORD_HEAD.size + length
            if opcode in (Opcode.DATA_END, Opcode.FOOTER):
                return True
            if opcode == Opcode.MESSAGE or position > size:
                return False
            if opcode == Opcode.CHUNK:
                head = stream.read(_CHUNK_CRC.size)
                if len(head) < _CHUNK_CRC.size or _CHUNK_CRC.unpack(head) == (0,):
                    return False
    return False
