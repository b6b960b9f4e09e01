"""A YAML file as a tree that remembers where everything stands.

Words mean what they say, as in YAML 1.2: only `true` and `false` are truth values, so the country `no` is a text; 12:30
is a text and not 750; 010 is refused, for some read it as 8. Anchors, aliases and tags are refused: a configuration
needs none, and with them a short file can expand without bound. So are duplicate keys, of which YAML readers silently
take the last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from omakase.core.errors import InvalidConfig

Scalar: TypeAlias = str | int | float | bool | None
Step: TypeAlias = str | int
Path: TypeAlias = tuple[Step, ...]

MAX_CHARACTERS = 1_000_000
MAX_DEPTH = 20

# Stands where a value was refused while it was read, so that nobody complains of it twice.
REFUSED = object()

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_WHOLE = re.compile(r"[-+]?[0-9]+")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_PLAIN_WORD = re.compile(r"[\w.+/-]+")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing to change, and where."""

    line: int
    path: Path
    message: str

    def __str__(self) -> str:
        return f"{self.line}: {spell(self.path)}: {self.message}" if self.path else f"{self.line}: {self.message}"


@dataclass(frozen=True, slots=True)
class Node:
    """One value with its place. `line` is that of its key, counted from 1; `written` is a scalar as it was typed,
    shortened, in quotes if it had some."""

    path: Path
    line: int
    plain: object
    written: str = ""
    children: Mapping[Step, Node] = field(default_factory=dict)

    def entries(self, *path: Step) -> dict[str, Node]:
        """The named children of a section below, none where there is no such section."""
        node = self.find(*path)
        return {key: child for key, child in node.children.items() if isinstance(key, str)} if node else {}

    def elements(self, *path: Step) -> list[Node]:
        """The elements of a list below, none where there is no such list."""
        node = self.find(*path)
        return [child for key, child in node.children.items() if isinstance(key, int)] if node else []

    def text(self, key: str) -> str | None:
        """The text under `key`; None where there is none, or something else."""
        node = self.children.get(key)
        return node.plain if node is not None and isinstance(node.plain, str) else None

    def find(self, *path: Step) -> Node | None:
        node: Node | None = self
        for step in path:
            node = node.children.get(step) if node else None
        return node

    def nearest(self, path: Path) -> Node:
        """The node at `path`, or the innermost one on the way to it: where something is missing."""
        node = self
        for step in path:
            node = node.children.get(step, node)
            if node.path[-1:] != (step,):
                break
        return node


def read(text: str) -> tuple[Node, list[Fault]]:
    """The tree of a document, and what is wrong with it that does not keep the rest from being read.

    Raises: InvalidConfig if no tree can be made, each fault beginning with its line.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidConfig([f"1: the file has {len(text)} characters; at most {MAX_CHARACTERS} are read"])
    faults: list[Fault] = []
    try:
        _refuse_what_expands(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise InvalidConfig([f"{mark.line + 1 if mark else 1}: not YAML: {said}"]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidConfig([f"{line}: not YAML: a character is not allowed: {error.reason}"]) from None
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # such as an escape beyond the last character
        raise InvalidConfig([f"1: not YAML: {error}"]) from None
    if root is None:
        return Node((), 1, None), faults
    return _node_of(root, (), root.start_mark.line + 1, faults), faults


def spell(path: Path) -> str:
    """`placements.home-top.variants`, `features.main.item[0]`."""
    spelt = ""
    for step in path:
        if isinstance(step, int):
            spelt += f"[{step}]"
        else:
            spelt += ("." if spelt else "") + (step if _PLAIN_WORD.fullmatch(step) else shorten(repr(step)))
    return spelt


def shorten(text: str) -> str:
    """Keep a message readable, whatever it quotes."""
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse_what_expands(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _not_supported("anchors (& and *) are not supported: write it out, or put a text in quotes", event)
        if isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)) and event.tag:
            raise _not_supported("tags (!) are not supported: leave it out, or put a text in quotes", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _not_supported(f"nested more than {MAX_DEPTH} deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _not_supported(what: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=event.start_mark)  # type: ignore[arg-type]  # stubs: C marks


def _node_of(node: yaml.Node, path: Path, line: int, faults: list[Fault]) -> Node:
    if isinstance(node, yaml.MappingNode):
        return _section_of(node, path, line, faults)
    if isinstance(node, yaml.SequenceNode):
        elements = [
            _node_of(element, (*path, i), element.start_mark.line + 1, faults) for i, element in enumerate(node.value)
        ]
        return Node(path, line, [element.plain for element in elements], children=dict(enumerate(elements)))
    is_plain = isinstance(node, yaml.ScalarNode) and node.style is None
    written = shorten(node.value if is_plain else repr(node.value))
    try:
        return Node(path, line, _scalar_of(node.value) if is_plain else _text_of(node.value), written)
    except ValueError as error:
        faults.append(Fault(line, path, str(error)))
        return Node(path, line, REFUSED, written)


def _section_of(node: yaml.MappingNode, path: Path, line: int, faults: list[Fault]) -> Node:
    children: dict[Step, Node] = {}
    for key_node, value_node in node.value:
        at = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            faults.append(Fault(at, path, "a key must be a word"))
            continue
        try:
            key = _text_of(key_node.value)
        except ValueError as error:
            faults.append(Fault(at, path, f"a key {error}"))
            continue
        if key in children:
            faults.append(Fault(at, (*path, key), f"is given twice, first in line {children[key].line}"))
            continue
        children[key] = _node_of(value_node, (*path, key), at, faults)
    return Node(path, line, {key: child.plain for key, child in children.items()}, children=children)


def _scalar_of(written: str) -> Scalar:
    """What a word without quotes means. Raises: ValueError saying how to write it instead."""
    if written in _NULL:
        return None
    if written in _TRUTH:
        return _TRUTH[written]
    if _NOT_FINITE.fullmatch(written):
        raise ValueError(f"{written} is not a finite number")
    if _WHOLE.fullmatch(written):
        digits = written.lstrip("+-")
        if len(digits) > 1 and digits[0] == "0":
            raise ValueError(f"{shorten(written)} begins with 0: drop the 0 of a number, put a text in quotes")
        if len(digits) > 18:
            raise ValueError(f"{shorten(written)} is too large; a text of digits needs quotes")
        return int(written)
    if _NUMBER.fullmatch(written):
        number = float(written)
        if not math.isfinite(number):
            raise ValueError(f"{shorten(written)} is too large")
        return number
    return _text_of(written)


def _text_of(written: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in written):
        raise ValueError("holds half of a surrogate pair, which is not Unicode")
    return written
