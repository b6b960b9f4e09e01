"""Many short pieces of bytes: a Python object each would cost several times what is in it."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from struct import Struct
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

# So many pieces share a block; to change one is to copy them.
_SIZE = 64
_TOGETHER = 1024

# Where each piece begins and the last one ends, as uint32; behind it the pieces. One object, which the garbage
# collector does not look at.
_Block: TypeAlias = bytes
_bounds = Struct("2I").unpack_from
_WIDTH = 4


class Packed:
    """A sequence that grows at the end. Who holds one that is `amended` sees nothing of it: what is the same is shared.

    Cost: the bytes themselves and some 5 more a piece.
    """

    __slots__ = ("_blocks", "_last")

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._last: list[bytes] = []

    def append(self, piece: bytes) -> None:
        """Only by who made it, and before anybody else reads."""
        self._last.append(piece)
        if len(self._last) == _SIZE:
            self._blocks.append(_block(self._last))
            self._last = []

    def __len__(self) -> int:
        return len(self._blocks) * _SIZE + len(self._last)

    def __getitem__(self, i: int) -> bytes:
        """A copy of piece `i`, which is not negative. Raises: IndexError."""
        at, row = divmod(i, _SIZE)
        if at == len(self._blocks):
            return self._last[row]
        block = self._blocks[at]
        start, end = _bounds(block, row * _WIDTH)
        return block[start:end]

    def amended(self, changed: Mapping[int, bytes]) -> Packed:
        """Another, with these pieces in their places; it may grow.

        Cost: some 10 µs for each block of 64 that something is changed in, and 10 ns for every other.
        """
        found = Packed()
        found._blocks, found._last = self._blocks.copy(), self._last.copy()
        by_block: dict[int, list[tuple[int, bytes]]] = {}
        for i, piece in changed.items():
            by_block.setdefault(i // _SIZE, []).append((i % _SIZE, piece))
        for at, pieces in by_block.items():
            block = found._last if at == len(found._blocks) else _pieces(found._blocks[at])
            for row, piece in pieces:
                block[row] = piece
            if at < len(found._blocks):
                found._blocks[at] = _block(block)
        return found

    def continues(self, older: Packed) -> bool:
        """Whether it begins with the same pieces. Cost: as fast as memory, and faster where they are shared."""
        full = len(older._blocks)
        if len(self) < len(older) or self._blocks[:full] != older._blocks:
            return False
        begun = range(full * _SIZE, len(older))
        return all(self[i] == older[i] for i in begun)

    def stretches(self) -> Iterator[tuple[bytes, NDArray[np.uint32]]]:
        """All pieces in order, thousands at a time: joined, and how long each is."""
        for start in range(0, len(self._blocks), _TOGETHER):
            blocks = self._blocks[start : start + _TOGETHER]
            header = _WIDTH * (_SIZE + 1)
            bounds = np.frombuffer(b"".join([block[:header] for block in blocks]), dtype=np.uint32)
            joined = b"".join([block[header:] for block in blocks])
            yield joined, np.diff(bounds.reshape(-1, _SIZE + 1), axis=1).ravel()
        yield b"".join(self._last), np.array([len(piece) for piece in self._last], dtype=np.uint32)


def _block(pieces: list[bytes]) -> _Block:
    bounds = array("I", accumulate(map(len, pieces), initial=_WIDTH * (len(pieces) + 1)))
    return b"".join([bounds.tobytes(), *pieces])


def _pieces(block: _Block) -> list[bytes]:
    bounds = array("I", block[: _bounds(block)[0]])
    return [block[start:end] for start, end in pairwise(bounds)]
