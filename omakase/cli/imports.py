"""`omakase items import` and `omakase contexts import`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from omakase.adapters import open_catalogue_store, open_context_store
from omakase.cli.options import DataDir
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.values import Facts, facts_of
from omakase.deployment import Deployment

items = typer.Typer(help="The items that can be shown.", no_args_is_help=True)
contexts = typer.Typer(help="What is known of people before they ask.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="One JSON object a line.", exists=True, dir_okay=False)]
Parsed = TypeVar("Parsed")


@items.command("import")
def import_items(file: File, data_dir: DataDir) -> None:
    """Add or replace items: `item_id`, and optionally `metadata`, `value`, `in_stock`, `stock`, `hidden`.

    All lines or none. A running service shows the change within seconds.

    Example: `omakase items import examples/items.ndjson --data-dir data`
    """
    parsed = _Entries(file, _item)
    generation = open_catalogue_store(Deployment(file, data_dir).uris.catalogue).put(parsed)
    Console().print(f"{parsed.count} items imported, catalogue generation {generation}")


@contexts.command("import")
def import_contexts(file: File, data_dir: DataDir) -> None:
    """Replace what is known of people: `user_id` and `context`, an object of facts. Ids are stored as pseudonyms only.

    All lines or none.

    Example: `omakase contexts import examples/contexts.ndjson --data-dir data`
    """
    from omakase.keys import create_keys, load_keys

    deployment = Deployment(file, data_dir)
    if not deployment.keys.exists():
        create_keys(deployment.keys)
    keyring = load_keys(deployment.keys)
    parsed = list(_Entries(file, lambda entry: _context(entry, keyring)))
    count = open_context_store(deployment.uris.contexts).put(parsed)
    Console().print(f"{count} contexts imported")


class _Entries(Generic[Parsed]):
    """Every line, one by one, or InvalidInput that names the first that does not fit and what is wrong with it."""

    def __init__(self, file: Path, read: Callable[[dict[str, object]], Parsed]) -> None:
        self._file = file
        self._read = read
        self.count = 0

    def __iter__(self) -> Iterator[Parsed]:
        console = Console(stderr=True)
        bar = Progress(console=console, transient=True, disable=not console.is_terminal)
        with self._file.open("rb") as raw, bar:
            size = self._file.stat().st_size
            for number, line in enumerate(bar.wrap_file(raw, size, description=f"Reading {self._file.name}"), start=1):
                if line.strip():
                    yield _line(self._file, number, line, self._read)
                    self.count += 1


def _line(file: Path, number: int, line: bytes, read: Callable[[dict[str, object]], Parsed]) -> Parsed:
    try:
        entry = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        if not isinstance(entry, dict):
            raise InvalidInput("a line must be one JSON object")
        return read(entry)
    except RecursionError:
        raise InvalidInput(f"{file}:{number}: is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{file}:{number}: is not UTF-8: {error}") from None
    except (ValueError, InvalidInput) as error:
        raise InvalidInput(f"{file}:{number}: {error}") from None


def _item(entry: dict[str, object]) -> Item:
    unknown = entry.keys() - {"item_id", "metadata", "value", "in_stock", "stock", "hidden"}
    if unknown:
        raise InvalidInput(f"unknown keys {sorted(unknown)}; facts about an item go into `metadata`")
    metadata, value, stock = entry.get("metadata", {}), entry.get("value"), entry.get("stock")
    flags = {name: entry[name] for name in ("in_stock", "hidden") if name in entry}
    if not isinstance(entry.get("item_id"), str):
        raise InvalidInput("`item_id` must be text")
    if not isinstance(metadata, dict):
        raise InvalidInput("`metadata` must be an object")
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise InvalidInput("`value` must be a number or left out")
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise InvalidInput("`in_stock` and `hidden` must be true or false")
    if stock is not None and (isinstance(stock, bool) or not isinstance(stock, int)):
        raise InvalidInput("`stock` must be a whole number of pieces or left out")
    number = None if value is None else float(str(value))  # by way of text: a huge integer is infinite, not an overflow
    return Item(str(entry["item_id"]), facts_of(metadata), number, stock=stock, **flags)  # type: ignore[arg-type]


def _context(entry: dict[str, object], keyring: Keyring) -> tuple[Pseudonym, Facts]:
    unknown = entry.keys() - {"user_id", "context"}
    if unknown:
        raise InvalidInput(f"unknown keys {sorted(unknown)}; facts about a person go into `context`")
    user_id, facts = entry.get("user_id"), entry.get("context")
    if not isinstance(user_id, str) or not 1 <= len(user_id) <= 256:
        raise InvalidInput("`user_id` must be text of 1 to 256 characters")
    if not isinstance(facts, dict):
        raise InvalidInput("`context` must be an object")
    return keyring.pseudonym("user", user_id), facts_of(facts)
