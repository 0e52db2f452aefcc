"""Decode many messages of one topic at once.

Messages of a topic mostly differ in nothing but their numbers: names, lengths, and with them the
place of each number, are the same. So one of them is taken as a pattern, every other one is checked
to be like it byte by byte, but for numbers and padding, and the numbers of all are read with NumPy.

Where the numbers of a pattern are is found by walking through its type's definition, and proved:
the pattern is decoded once more by `rosbags`, with a mark in place of each number, and the reader
that serves single messages says which marks it sees. What is not like any pattern is decoded one
by one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype

from gac_ros import messages
from gac_ros.errors import DecodeError

_LITTLE_ENDIAN = b"\x00\x01"
_HEAD = 4  # bytes before the content, which alignment does not count
_SIZES = {
    "bool": 1, "byte": 1, "char": 1, "int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4,
    "uint32": 4, "float32": 4, "int64": 8, "uint64": 8, "float64": 8,
}  # fmt: skip
# To find a pattern's numbers takes as long as to decode some messages one by one.
_WORTHWHILE = 12
_PATTERNS = 8  # of messages of one length
_BLOCK = 2**17
# Marks: numbers that no message holds by chance.
_FIRST_MARK = 3.0 * 2**70
_MARK_STEP = 2.0**30

Read = Callable[[Any], NDArray[np.float64]]


class Columns(NamedTuple):
    """Numbers of N messages.

    Attributes:
        values: float64 (N, K); NaN where the message lacks something.
        readable: bool (N,), whether it lacks nothing.
        problem: what the first one lacks; empty when none does.
    """

    values: NDArray[np.float64]
    readable: NDArray[np.bool_]
    problem: str


def decode_columns(data: Sequence[bytes], type_name: str, read: Read, width: int) -> Columns:
    """What `read` gives for each message, deserialised.

    Args:
        data: CDR bytes of N messages.
        type_name: their type.
        read: picks K of a message's float64 numbers, float64 (K,), and does nothing else to them;
            raises `DecodeError` for a message that lacks something.
        width: K.

    Raises:
        DecodeError: bytes are not a message of that type.
    """
    decoder = _Decoder(data, type_name, read, width)
    lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
    for length in np.unique(lengths):
        decoder.decode(np.flatnonzero(lengths == length), int(length))
    return decoder.columns()


class _Decoder:
    def __init__(self, data: Sequence[bytes], type_name: str, read: Read, width: int) -> None:
        self._data = data
        self._type = type_name
        self._read = read
        self._values = np.full((len(data), width), np.nan)
        self._readable = np.ones(len(data), dtype=bool)
        self._problems: dict[int, str] = {}

    def columns(self) -> Columns:
        first = min(self._problems, default=None)
        problem = "" if first is None else self._problems[first]
        return Columns(self._values, self._readable, problem)

    def decode(self, rows: NDArray[np.intp], length: int) -> None:
        """Decode messages that are equally long."""
        patterns: list[Pattern] = []
        # What fits a processor's cache is stacked, compared and read several times as fast.
        at_once = max(_WORTHWHILE, _BLOCK // max(1, length))
        for start in range(0, len(rows), at_once):
            block = rows[start : start + at_once]
            matrix = self._stacked(block)
            left = np.ones(len(block), dtype=bool)
            for pattern in patterns:
                self._decode_alike(pattern, block, matrix, left)
            while left.sum() >= _WORTHWHILE and len(patterns) < _PATTERNS:
                pattern = Pattern(self._data[block[left.argmax()]], self._type, self._read)
                patterns.append(pattern)
                self._decode_alike(pattern, block, matrix, left)
            for row in block[left]:
                self._decode_one(row)

    def _stacked(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        # A slice where it will do: to pick one by one takes longer than all the rest.
        together = rows[-1] - rows[0] == len(rows) - 1
        data = self._data[rows[0] : rows[-1] + 1] if together else [self._data[r] for r in rows]
        joined = b"".join(data)
        return np.frombuffer(joined, dtype=np.uint8).reshape(len(rows), -1)

    def _decode_alike(
        self,
        pattern: Pattern,
        rows: NDArray[np.intp],
        matrix: NDArray[np.uint8],
        left: NDArray[np.bool_],
    ) -> None:
        """Decode those of the rows left that are like the pattern, and strike them out."""
        if not pattern.understood:
            return
        alike = pattern.alike(matrix) & left
        if pattern.problem:
            self._readable[rows[alike]] = False
            if alike.any():
                self._problems[int(rows[alike.argmax()])] = pattern.problem
        else:
            chosen = slice(None) if alike.all() else alike
            self._values[rows[chosen]] = pattern.numbers(matrix[chosen])
        left &= ~alike

    def _decode_one(self, row: int) -> None:
        message = messages.deserialize(self._data[row], self._type)
        try:
            self._values[row] = self._read(message)
        except DecodeError as error:
            self._readable[row] = False
            self._problems[int(row)] = str(error)


class Pattern:
    """A message that others are like.

    Args:
        data: CDR bytes of the message.
        type_name: its type.
        read: as for `decode_columns`.

    Attributes:
        understood: whether the numbers that `read` picks were found.
        problem: what it lacks for `read`; empty when nothing.

    Raises:
        DecodeError: it is not a message of that type.
    """

    def __init__(self, data: bytes, type_name: str, read: Read) -> None:
        messages.deserialize(data, type_name)
        self.problem = ""
        self._data = data
        self._starts: NDArray[np.int64] | None = None
        walk = _Walk(data)
        try:
            walk.message(type_name)
        except (LookupError, struct.error):
            self.understood = False
            return
        self._fixed = walk.fixed
        try:
            self._starts = self._find(np.array(walk.floats, dtype=np.int64), type_name, read)
        except DecodeError as error:
            self.problem = str(error)
        found = bool(self.problem) or self._starts is not None
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
        for start, stop in self._fixed:
            alike &= (matrix[:, start:stop] == own[start:stop]).all(axis=1)
        return alike

    def numbers(self, matrix: NDArray[np.uint8]) -> NDArray[np.float64]:
        """What `read` gives for messages that are alike, uint8 (N, length): float64 (N, K)."""
        assert self._starts is not None
        starts = self._starts
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
