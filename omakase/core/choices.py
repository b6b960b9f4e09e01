"""What may be shown in one answer, and how the slate is to be put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Catalogue, Mask
from omakase.core.errors import InvalidInput
from omakase.core.item_ids import UNKNOWN


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
class Layout:
    """How a placement's slates are put together, whatever the catalogue: caps by fact, pinned item ids by position."""

    caps: Mapping[str, int] = field(default_factory=dict)
    pinned: Mapping[int, str] = field(default_factory=dict)
    is_per_slot: bool = False

    def over(self, catalogue: Catalogue) -> tuple[Rules, list[str]]:
        """Bind to a catalogue; and what of it has no effect there, in words.

        Cost: O(n) a cap.
        """
        caps, complaints = [], []
        for fact, most in self.caps.items():
            try:
                caps.append(Cap(kinds_of(catalogue, fact), most))
            except InvalidInput as error:
                complaints.append(f"there is no cap: {error}")
        places = catalogue.places(list(self.pinned.values())).tolist()
        pinned = dict(zip(self.pinned, places, strict=True))
        complaints += [
            f"nothing is pinned to {at}: no item {self.pinned[at]!r}" for at in pinned if pinned[at] == UNKNOWN
        ]
        there = {position: place for position, place in pinned.items() if place != UNKNOWN}
        return Rules(tuple(caps), there, self.is_per_slot), complaints


def kinds_of(catalogue: Catalogue, fact: str) -> NDArray[np.int32]:
    """The kind of every item by a fact; one with several values of it is of the kind of the first. Shapes: (n,).

    Raises: InvalidInput if no item has the fact, or it has too many values to tell kinds of items by it.
    """
    codes, values = catalogue.codes(fact), catalogue.metadata.values(fact)
    kinds: dict[object, int] = {}
    kind_of_code = np.full(len(values) + 1, UNKNOWN, dtype=np.int32)  # the last is that of -1, no value
    for code, value in enumerate(values):
        first = value[:1] if isinstance(value, tuple) else (value,)
        if value is not None and first:
            kind_of_code[code] = kinds.setdefault((*first, type(first[0])), len(kinds))
    return kind_of_code[codes]


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be shown. With `values`, what ranks an item is its score times its value.

    `weights`: what a policy that explores draws the items by; without them all are alike.
    Shapes: eligible (n,); values (n,), finite; weights (n,), more than 0.
    """

    eligible: Mask
    k: int
    values: NDArray[np.float32] | None = None
    rules: Rules = PLAIN
    weights: NDArray[np.float32] | None = None
