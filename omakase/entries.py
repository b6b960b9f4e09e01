"""Items and contexts as people send them: JSON objects, one a line of a file or of a body."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.values import Facts, facts_of

Entry: TypeAlias = dict[str, object]
Parsed = TypeVar("Parsed")

_CHANGEABLE = frozenset({"value", "in_stock", "stock", "hidden"})


def read_line(line: bytes, read: Callable[[Entry], Parsed], *, is_first: bool = False) -> Parsed:
    """What a line says. Raises: InvalidInput with what is wrong with it. The first may begin with a byte order mark."""
    try:
        entry = json.loads(line.decode("utf-8-sig" if is_first else "utf-8"))
        if not isinstance(entry, dict):
            raise InvalidInput("a line must be one JSON object")
        return read(entry)
    except RecursionError:
        raise InvalidInput("is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"is not UTF-8: {error}") from None
    except ValueError as error:
        raise InvalidInput(str(error)) from None


def item_of(entry: Entry) -> Item:
    """A whole item. Raises: InvalidInput."""
    unknown = entry.keys() - _CHANGEABLE - {"item_id", "metadata"}
    if unknown:
        raise InvalidInput(f"unknown keys {sorted(unknown)}; facts about an item go into `metadata`")
    metadata = entry.get("metadata", {})
    item_id = _item_id(entry)
    if not isinstance(metadata, dict):
        raise InvalidInput("`metadata` must be an object")
    fields = _changed(entry)
    return Item(item_id, facts_of(metadata), **fields)


def change_of(entry: Entry) -> tuple[str, Mapping[str, Any]]:
    """An item's id, and the fields of `Item` that change; null takes a value or a stock away. Raises: InvalidInput."""
    unknown = entry.keys() - _CHANGEABLE - {"item_id"}
    if unknown:
        raise InvalidInput(f"cannot change {sorted(unknown)} alone: put the whole item")
    item_id, fields = _item_id(entry), _changed(entry)
    if not fields:
        raise InvalidInput("names no change: give `hidden`, `in_stock`, `stock` or `value`")
    Item(item_id, **fields)  # refuses what no item may have
    return item_id, fields


def context_of(entry: Entry, keyring: Keyring) -> tuple[Pseudonym, Facts]:
    """What is known of a person. Raises: InvalidInput."""
    unknown = entry.keys() - {"user_id", "context"}
    if unknown:
        raise InvalidInput(f"unknown keys {sorted(unknown)}; facts about a person go into `context`")
    user_id, facts = entry.get("user_id"), entry.get("context")
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= 256:
        raise InvalidInput("`user_id` must be text of 1 to 256 characters")
    if not isinstance(facts, dict):
        raise InvalidInput("`context` must be an object")
    return keyring.pseudonym("user", user_id), facts_of(facts)


def _item_id(entry: Entry) -> str:
    item_id = entry.get("item_id")
    if not isinstance(item_id, str):
        raise InvalidInput("`item_id` must be text")
    return item_id


def _changed(entry: Entry) -> dict[str, Any]:
    fields: dict[str, Any] = {name: entry[name] for name in _CHANGEABLE if name in entry}
    value, stock = fields.get("value"), fields.get("stock")
    if value is not None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InvalidInput("`value` must be a number or left out")
        fields["value"] = float(str(value))  # by way of text: a huge integer is infinite, not an overflow
    if not all(isinstance(fields[name], bool) for name in ("in_stock", "hidden") if name in fields):
        raise InvalidInput("`in_stock` and `hidden` must be true or false")
    if stock is not None and (isinstance(stock, bool) or not isinstance(stock, int)):
        raise InvalidInput("`stock` must be a whole number of pieces or left out")
    return fields
