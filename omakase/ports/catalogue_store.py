"""Port: the items that can be shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from omakase.core.catalogue import Catalogue, Item


class CatalogueStore(Protocol):
    """One catalogue with a generation that grows with every change."""

    def generation(self) -> int:
        """0 while nothing was ever added. Cheap: readers poll it. Raises: Unavailable."""

    def load(self) -> Catalogue:
        """All items of the newest generation, in the order in which they were first added. Raises: Unavailable."""

    def put(self, items: Iterable[Item]) -> int:
        """Add or replace items, all or none, as one generation; an item keeps its place. Returns that generation."""

    def remove(self, item_ids: Iterable[str]) -> int:
        """Drop items, all or none. Unknown ids are no error. Returns the generation."""
