"""The items of a logged bandit: `item_id` and `item_feature_*`, made into a catalogue."""

from __future__ import annotations

import math
from pathlib import Path

from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.core.values import Value
from omakase.replay.table import Faults, Table

ITEM_ID = "item_id"
FEATURE_PREFIX = "item_feature_"
NUMERIC_FEATURE = "item_feature_0"
"""The one feature that is a number; the others are hashes, even where a hash happens to look like a number."""


def read_items(path: Path) -> tuple[Item, ...]:
    """All items, in the order of the file; an empty cell is a missing fact.

    Raises: InvalidInput naming the line and what to change; NotFound if there is no such file.
    """
    faults = Faults(path)
    items: dict[str, Item] = {}
    with Table(path, required=(ITEM_ID,)) as table:
        features = [name for name in table.header if name.startswith(FEATURE_PREFIX)]
        places = [table.header.index(name) for name in features]
        id_place = table.header.index(ITEM_ID)
        for line, row in table.rows(faults):
            try:
                item = _item(row[id_place], {name: row[i] for name, i in zip(features, places, strict=True) if row[i]})
                if item.item_id in items:
                    raise InvalidInput(f"item_id {item.item_id!r} is there twice: keep one")
                items[item.item_id] = item
            except InvalidInput as fault:
                faults.add(line, str(fault))
    faults.raise_if_any()
    if not items:
        raise InvalidInput(f"{path}: no items under the header")
    return tuple(items.values())


def _item(item_id: str, cells: dict[str, str]) -> Item:
    metadata: dict[str, Value] = dict(cells)
    if NUMERIC_FEATURE in cells:
        try:
            number = float(cells[NUMERIC_FEATURE])
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise InvalidInput(f"{NUMERIC_FEATURE} {cells[NUMERIC_FEATURE]!r} must be a finite number")
        metadata[NUMERIC_FEATURE] = number
    return Item(item_id, metadata)
