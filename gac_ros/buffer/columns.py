"""Decode many messages of one topic at once.

One of them is taken as a pattern (`gac_ros.patterns`), every other one is checked to be like it,
and the numbers of all are read with NumPy. What is not like any pattern is decoded one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gac_ros import messages
from gac_ros.errors import DecodeError
from gac_ros.patterns import Pattern, Read

# To find a pattern's numbers takes as long as to decode some messages one by one.
_WORTHWHILE = 12
_PATTERNS = 8  # of messages of one length
_BLOCK = 2**17


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
