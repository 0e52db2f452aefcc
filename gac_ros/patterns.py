"""Reading and writing messages by where their numbers are.

Messages of a topic mostly differ in nothing but their numbers: names, lengths, and with them the
place of each number, are the same. So one of them is taken as a pattern, others are checked to be
like it byte by byte, but for numbers and padding, and their numbers are read where the pattern has
them. A message that is sent again and again is written in the same way.

Where the numbers of a pattern are is found by walking through its type's definition, and proved:
the pattern is decoded once more by `rosbags`, with a mark in place of each number, and whoever
reads decoded messages says which marks are seen.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype

from gac_ros import messages
from gac_ros.errors import DecodeError

Read = Callable[[Any], NDArray[np.float64]]

_LITTLE_ENDIAN = b"\x00\x01"
_HEAD = 4  # bytes before the content, which alignment does not count
_STAMP = struct.Struct("<iI")  # of a header, with which a message that has one begins
_SIZES = {
    "bool": 1, "byte": 1, "char": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
# Marks: numbers that no message holds by chance.
_FIRST_MARK = 3.0 * 2**70
_MARK_STEP = 2.0**30
# To make a pattern takes as long as to decode some messages.
_MOST_PATTERNS = 8


class Pattern:
    """A message that others are like.

    Args:
        data: CDR bytes of the message.
        type_name: its type.
        read: picks K of a message's float64 numbers, float64 (K,), and does nothing else to them;
            raises `DecodeError` for a message that lacks something.

    Attributes:
        understood: whether the numbers that `read` picks were found.
        problem: what it lacks for `read`; empty when nothing.
        starts: at which bytes they begin, int64 (K,); None unless understood and without problem.
        fixed: from which to which byte others must be the same.

    Raises:
        DecodeError: it is not a message of that type.
    """

    def __init__(self, data: bytes, type_name: str, read: Read) -> None:
        messages.deserialize(data, type_name)
        self.problem = ""
        self.starts: NDArray[np.int64] | None = None
        self.fixed: list[tuple[int, int]] = []
        self._data = data
        walk = _Walk(data)
        try:
            walk.message(type_name)
        except (LookupError, struct.error):
            self.understood = False
            return
        self.fixed = walk.fixed
        try:
            self.starts = self._find(np.array(walk.floats, dtype=np.int64), type_name, read)
        except DecodeError as error:
            self.problem = str(error)
        found = bool(self.problem) or self.starts is not None
        self.understood = found and data[:2] == _LITTLE_ENDIAN

    def _find(
        self, floats: NDArray[np.int64], type_name: str, read: Read
    ) -> NDArray[np.int64] | None:
        """Where the numbers start that `read` picks; None when it sees something else as well."""
        marks = _FIRST_MARK + _MARK_STEP * np.arange(len(floats))
        marked = bytearray(self._data)
        for start, mark in zip(floats, marks, strict=True):
            struct.pack_into("<d", marked, start, mark)
        seen = read(messages.deserialize(bytes(marked), type_name))
        places = np.searchsorted(marks, seen)
        if (places >= len(marks)).any() or (marks[places] != seen).any():
            return None
        return floats[places]

    def alike(self, matrix: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which messages, uint8 (N, length), differ in nothing but numbers, bool (N,)."""
        own = np.frombuffer(self._data, dtype=np.uint8)
        alike = np.ones(len(matrix), dtype=bool)
        for start, stop in self.fixed:
            alike &= (matrix[:, start:stop] == own[start:stop]).all(axis=1)
        return alike

    def numbers(self, matrix: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What `read` gives for messages that are alike, uint8 (N, length): float64 (N, K)."""
        assert self.starts is not None
        starts = self.starts
        values = np.empty((len(matrix), len(starts)))
        # Neighbours are copied together, which is much quicker than one by one.
        first = 0
        for last in range(1, len(starts) + 1):
            if last < len(starts) and starts[last] == starts[last - 1] + 8:
                continue
            start, stop = starts[first], starts[last - 1] + 8
            part = np.ascontiguousarray(matrix[:, start:stop])
            values[:, first:last] = part.view("<f8")
            first = last
        return values


class PatternReader:
    """Reads a topic's messages one by one, some ten times as fast as they are decoded.

    It knows the messages that are like one that it has learned; the others are the caller's to
    decode. A publisher that changes its layout again and again is not followed for ever.

    Args:
        type_name: of the messages.
        read: as for `Pattern`.
    """

    def __init__(self, type_name: str, read: Read) -> None:
        self._type = type_name
        self._read = read
        self._known: dict[int, _Known] = {}  # by the length of the message
        self._left = _MOST_PATTERNS

    def numbers(self, data: bytes) -> NDArray[np.float64] | None:
        """What `read` gives for a message, float64 (K,); None for one of another kind."""
        known = self._known.get(len(data))
        if known is None or int.from_bytes(data, "little") & known.mask != known.fixed:
            return None
        return _body(data)[known.places]

    def learn(self, data: bytes) -> None:
        """Know messages like this one from now on; takes as long as decoding a few."""
        if not self._left or self.numbers(data) is not None:
            return
        try:
            pattern = Pattern(data, self._type, self._read)
        except DecodeError:
            return
        if pattern.understood and pattern.starts is not None:
            self._left -= 1
            self._known[len(data)] = _Known(data, pattern)


class _Known:
    """A pattern as `PatternReader` compares it: all fixed bytes at once, as one number."""

    def __init__(self, data: bytes, pattern: Pattern) -> None:
        mask = bytearray(len(data))
        for start, stop in pattern.fixed:
            mask[start:stop] = b"\xff" * (stop - start)
        self.mask = int.from_bytes(mask, "little")
        self.fixed = int.from_bytes(data, "little") & self.mask
        self.places = _places(pattern)


class Template:
    """A message that is sent again and again with other numbers.

    It may be used from several threads.

    Args:
        message: as `serialize` takes it.
        read: picks those of its float64 numbers that change, as for `Pattern`.
        stamped: whether it begins with a header whose stamp changes as well.
    """

    def __init__(self, message: Any, read: Read, *, stamped: bool = False) -> None:
        self._data = messages.serialize(message)
        pattern = Pattern(self._data, message.__msgtype__, read)
        assert pattern.understood, f"{message.__msgtype__} cannot be written by its layout"
        self._places = _places(pattern)
        self.stamped = stamped

    def fill(self, numbers: NDArray[np.float64] | list[float], stamp: int = 0) -> bytes:
        """CDR bytes of the message with these numbers, (K,), and the stamp in nanoseconds."""
        data = bytearray(self._data)
        _body(data)[self._places] = numbers
        if self.stamped:
            _STAMP.pack_into(data, _HEAD, *divmod(stamp, messages.NANOSECONDS))
        return bytes(data)


def read_stamp(data: bytes) -> int:
    """Nanoseconds of the header with which a message of little-endian CDR bytes begins."""
    seconds, rest = _STAMP.unpack_from(data, _HEAD)
    return int(seconds * messages.NANOSECONDS + rest)


def _places(pattern: Pattern) -> NDArray[np.int64]:
    """Where in the body a pattern's numbers are; CDR aligns each of them to its own size."""
    assert pattern.starts is not None
    return (pattern.starts - _HEAD) // 8


def _body(data: bytes | bytearray) -> NDArray[np.float64]:
    """Everything behind the head as if it were float64."""
    return np.frombuffer(data, dtype="<f8", count=(len(data) - _HEAD) // 8, offset=_HEAD)


class _Walk:
    """Walks through a message: which bytes are numbers, and which say how it is laid out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self.floats: list[int] = []
        self.fixed: list[tuple[int, int]] = [(0, _HEAD)]

    def message(self, type_name: str) -> None:
        _, fields = messages.typestore().fielddefs[type_name]
        for _, description in fields:
            self._field(description)

    def _field(self, description: Any) -> None:
        kind, content = description
        if kind == Nodetype.BASE:
            self._base(content[0])
        elif kind == Nodetype.NAME:
            self.message(content)
        else:
            element, count = content
            if kind == Nodetype.SEQUENCE:
                count = self._length()
            for _ in range(count):
                self._field(element)

    def _base(self, name: str) -> None:
        if name == "string":
            count = self._length()
            self._fix(count)
            return
        size = _SIZES[name]
        self._align(size)
        if name == "float64":
            self.floats.append(_HEAD + self._position)
        self._position += size

    def _length(self) -> int:
        self._align(4)
        (count,) = struct.unpack_from("<I", self._data, _HEAD + self._position)
        self._fix(4)
        if count > len(self._data):
            raise LookupError("longer than the message")
        return int(count)

    def _fix(self, count: int) -> None:
        start = _HEAD + self._position
        self._position += count
        if self.fixed[-1][1] == start:
            start = self.fixed.pop()[0]
        self.fixed.append((start, _HEAD + self._position))

    def _align(self, size: int) -> None:
        self._position = -(-self._position // size) * size
