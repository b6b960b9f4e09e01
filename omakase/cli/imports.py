"""`omakase items import` and `omakase contexts import`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress

from omakase.adapters import open_catalogue_store, open_context_store
from omakase.cli.options import DataDir
from omakase.core.errors import InvalidInput
from omakase.deployment import Deployment
from omakase.entries import Entry, context_of, item_of, read_line

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
    parsed = _Entries(file, item_of)
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
    parsed = list(_Entries(file, lambda entry: context_of(entry, keyring)))
    count = open_context_store(deployment.uris.contexts).put(parsed)
    Console().print(f"{count} contexts imported")


class _Entries(Generic[Parsed]):
    """Every line, one by one, or InvalidInput that names the first that does not fit and what is wrong with it."""

    def __init__(self, file: Path, read: Callable[[Entry], Parsed]) -> None:
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


def _line(file: Path, number: int, line: bytes, read: Callable[[Entry], Parsed]) -> Parsed:
    try:
        return read_line(line, read, is_first=number == 1)
    except InvalidInput as error:
        raise InvalidInput(f"{file}:{number}: {error}") from None
