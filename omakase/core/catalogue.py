"""What can be shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.core.errors import InvalidInput
from omakase.core.values import Facts

Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be shown. Units: value is what a click is worth, in the shop's currency."""

    item_id: str
    metadata: Facts = field(default_factory=dict)
    value: float | None = None
    in_stock: bool = True
    hidden: bool = False

    def __post_init__(self) -> None:
        if not 1 <= len(self.item_id) <= 256:
            raise InvalidInput(f"item_id must have 1 to 256 characters, not {len(self.item_id)}")
        if any("\ud800" <= character <= "\udfff" for character in self.item_id):
            raise InvalidInput(f"item_id {self.item_id!r} is not Unicode: it holds half of a surrogate pair")
        if self.value is not None and not np.isfinite(self.value):
            raise InvalidInput(f"item {self.item_id!r}: value must be a finite number")


@dataclass(frozen=True)
class Catalogue:
    """All items of one generation, in the order in which they were first added."""

    items: tuple[Item, ...]
    generation: int = 0

    @cached_property
    def index(self) -> dict[str, int]:
        return {item.item_id: i for i, item in enumerate(self.items)}

    @cached_property
    def available(self) -> Mask:
        """Which items may be shown at all. Shapes: (n,)."""
        return np.fromiter((i.in_stock and not i.hidden for i in self.items), dtype=np.bool_, count=len(self.items))

    def eligible(self, exclude: Iterable[str], candidates: Sequence[str] | None) -> tuple[Mask, list[str]]:
        """Which items may answer a request, and which named candidates may not (unknown, sold out or hidden).

        `candidates` None means the whole catalogue; an empty list means nothing. Shapes: the mask is (n,).
        An excluded candidate is not ignored: leaving it out is what was asked for.
        """
        ignored: list[str] = []
        if candidates is None:
            mask = self.available.copy()
        else:
            mask = np.zeros(len(self.items), dtype=np.bool_)
            for item_id in dict.fromkeys(candidates):
                i = self.index.get(item_id)
                if i is None or not self.available[i]:
                    ignored.append(item_id)
                else:
                    mask[i] = True
        for item_id in exclude:
            i = self.index.get(item_id)
            if i is not None:
                mask[i] = False
        return mask, ignored
