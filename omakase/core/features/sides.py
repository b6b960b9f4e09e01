"""One side of a specification, item or context, compiled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from omakase.core.errors import InvalidFeature
from omakase.core.features.encoders import Encoder, Factor, Factors, Read, encoder_of
from omakase.core.features.kinds import Feature
from omakase.core.values import Facts


class SideEncoder:
    """All features of one side, item or context, ready to encode. `width` is of a whole factor."""

    def __init__(self, features: Sequence[Feature], *, constant: bool) -> None:
        side = {feature.name: feature for feature in features}
        self._constant = constant
        self._placed: list[tuple[int, Encoder[Any]]] = []
        at = int(constant)
        for feature in features:
            encoder = encoder_of(feature, side)
            self._placed.append((at, encoder))
            at += encoder.width
        self.width = at
        self._steps = [(encoder.read, encoder.write, at) for at, encoder in self._placed]

    def one(self, facts: Facts) -> Factor:
        """Shapes: (width,). Raises: InvalidFeature naming the feature and what it takes."""
        out: Factor = np.zeros(self.width, dtype=np.float32)
        if self._constant:
            out[0] = 1.0
        for read, write, at in self._steps:
            found = read(facts)
            if found is not None:
                write(found, out, at)
        return out

    def many(self, facts: Sequence[Facts]) -> tuple[Factors, dict[int, str]]:
        """What `one` makes of each, bit for bit, and by row why some do not fit: these rows are zeros.

        Shapes: (n, width). Cost: one pass over the facts for each feature.
        """
        out: Factors = np.zeros((len(facts), self.width), dtype=np.float32)
        misfits: dict[int, str] = {}
        if self._constant:
            out[:, 0] = 1.0
        for at, encoder in self._placed:
            rows, found = _read_column(encoder, facts, misfits)
            if rows:
                encoder.write_column(rows, found, out[:, at : at + encoder.width])
        out[list(misfits)] = 0.0
        return out, misfits


def _read_column(
    encoder: Encoder[Read], facts: Sequence[Facts], misfits: dict[int, str]
) -> tuple[list[int], list[Read]]:
    rows, found = [], []
    for row, one in enumerate(facts):
        try:
            read = encoder.read(one)
        except InvalidFeature as error:
            misfits.setdefault(row, str(error))
            continue
        if read is not None:
            rows.append(row)
            found.append(read)
    return rows, found
