"""Names that must exist elsewhere in the document."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from omakase.config.document import Fault, Node, shorten
from omakase.core.suggestion import suggest


def unknown(owner: Node, key: str, known: Collection[str], section: str) -> Iterator[Fault]:
    """A fault if what is under `key` is in no `section`, whose names are `known`."""
    node = owner.find(key)
    if node is not None:
        yield from unknown_name(node, known, section)


def unknown_name(node: Node, known: Collection[str], section: str) -> Iterator[Fault]:
    """The same for one name. What is no text is the schema's to complain of."""
    if isinstance(node.plain, str) and node.plain not in known:
        tail = suggest(node.plain, known) if known else f": {section} is empty"
        yield Fault(node.line, node.path, f"nothing in {section} is named {shorten(repr(node.plain))}{tail}")


def layer_of(name: str, placement: Node) -> str:
    """The layer of a placement: its own name where it does not say."""
    return placement.text("layer") or name


def experiments_at(name: str, root: Node) -> list[Node]:
    """The experiments that run at a placement."""
    return [
        experiment
        for experiment in root.entries("experiments").values()
        if any(placement.plain == name for placement in experiment.elements("placements"))
    ]


def shown_at(name: str, root: Node) -> list[tuple[str, Node]]:
    """The variants that people see at a placement, by name: its own, and those of its experiments. Names may repeat."""
    owners = [root.find("placements", name), *experiments_at(name, root)]
    return [arm for owner in owners if owner for arm in owner.entries("variants").items()]
