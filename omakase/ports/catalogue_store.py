"""Port: the items that can be shown."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from omakase.core.catalogue import Catalogue, Item


class CatalogueStore(Protocol):
    """One catalogue with a generation that grows with every change."""

    def generation(self) -> int:
        """0 while nothing was ever added. Cheap: readers poll it. Raises: Unavailable."""

    def load(self, since: Catalogue | None = None) -> Catalogue:
        """All items of the newest generation, in the order in which they were first added. Raises: Unavailable.

        `since` is what this store gave before: then only what was put after it is read, and the answer shares the rest
        with it, see `Catalogue.amended`. After a removal everything may be read again: what a shop does every day is
        to hide.
        Guarantees: items come one by one, so that the memory needed is the catalogue's own.
        """

    def put(self, items: Iterable[Item]) -> int:
        """Add or replace items, all or none, as one generation; an item keeps its place. Returns that generation.

        Guarantees: takes the items one by one and keeps none; what taking one raises goes on to the caller.
        """

    def update(self, item_ids: Collection[str], change: Callable[[Item], Item]) -> list[Item]:
        """Change those of some items that are there, all or none, as one generation. Returns them as they are now.

        Guarantees: nobody writes between what `change` is given and what it returns; what it raises goes on.
        """

    def page(self, first: str, limit: int) -> list[Item]:
        """Up to `limit` items in the order of their ids, from `first`, or what comes after it. Raises: Unavailable."""

    def remove(self, item_ids: Iterable[str]) -> int:
        """Drop items, all or none. Unknown ids are no error. Returns the generation.

        Cost: to every reader, that of loading everything; `Item.hidden` takes an item out of the shop at once.
        """
