"""What may be shown in one answer, and how the slate is to be put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Mask


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` items of one kind in a slate. Shapes: codes (n,), equal for items of a kind, -1 for no kind."""

    codes: NDArray[np.int32]
    most: int


@dataclass(frozen=True, slots=True)
class Rules:
    """How a slate is put together. `pinned` has the indices of items by position, the first of which is 1.

    `is_per_slot`: every slot has a draw of its own, for variety; else one draw ranks the whole slate.
    """

    caps: tuple[Cap, ...] = ()
    pinned: Mapping[int, int] = field(default_factory=dict)
    is_per_slot: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether the slate is just the best k of one row of scores."""
        return not (self.caps or self.pinned or self.is_per_slot)


PLAIN = Rules()


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be shown. With `values`, what ranks an item is its score times its value.

    Shapes: eligible (n,); values (n,), finite.
    """

    eligible: Mask
    k: int
    values: NDArray[np.float32] | None = None
    rules: Rules = PLAIN
