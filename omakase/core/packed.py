"""Many short pieces of bytes in one buffer: a Python object each would cost several times what is in it."""

from __future__ import annotations

from array import array

import numpy as np


class Packed:
    """Grows at the end. Cost: the bytes themselves and 8 more a piece."""

    __slots__ = ("_buffer", "_ends")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ends = array("q", (0,))

    def append(self, piece: bytes) -> None:
        self._buffer += piece
        self._ends.append(len(self._buffer))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, i: int) -> bytes:
        """A copy of piece `i`, which is not negative. Raises: IndexError."""
        ends = self._ends
        return bytes(self._buffer[ends[i] : ends[i + 1]])

    def continues(self, older: Packed) -> bool:
        """Whether it begins with the same pieces."""
        size, count = len(older._buffer), len(older._ends)
        if len(self._buffer) < size or len(self._ends) < count:
            return False
        ends, before = (np.frombuffer(each._ends, dtype=np.int64)[:count] for each in (self, older))
        texts, texts_before = (np.frombuffer(each._buffer, dtype=np.uint8)[:size] for each in (self, older))
        return np.array_equal(ends, before) and np.array_equal(texts, texts_before)
