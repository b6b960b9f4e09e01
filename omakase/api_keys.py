"""Keys that callers show: what each is for. Only their hashes are kept, in the file of keys, see `omakase.keys`:

    api_keys:
      storefront: {hash: "5e88…", scope: storefront, placements: [home-top], rate: 500, burst: 1000}
      orders: {hash: "07d1…", scope: server}
      ops: {hash: "c0ff…", scope: admin, revoked: true}

A key is 256 random bits, so that a plain SHA-256 suffices: there is nothing to guess. A revoked key keeps its line: who
still shows it is told so, and a gateway whose only key was revoked does not open to everybody.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import cast

from omakase.config.document import Node
from omakase.core.ids import text_of
from omakase.core.suggestion import suggest

NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
MAX_RATE = 1_000_000
_PREFIX = "omk_"
_FIELDS = ("hash", "scope", "placements", "rate", "burst", "revoked")


class Scope(StrEnum):
    """What a key is for; exactly one thing."""

    STOREFRONT = "storefront"  # asks for recommendations
    SERVER = "server"  # the shop's own server: orders, and what events are worth
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key. Units: `rate` in requests per second, held over bursts of `burst` requests; without a rate, no limit.

    `placements` None means all; only a storefront's key has some.
    """

    name: str
    hash: bytes
    scope: Scope
    placements: frozenset[str] | None = None
    rate: float | None = None
    burst: float = 1.0
    is_revoked: bool = False


def new_key(random: Callable[[int], bytes]) -> str:
    """A key to hand out once."""
    return _PREFIX + text_of(random(32))


def hash_of(key: bytes) -> bytes:
    return sha256(key).digest()


def api_keys_of(root: Node) -> dict[str, ApiKey]:
    """The keys of a file in which `faults_of` finds nothing, by name."""
    return {name: _key_of(name, node.plain) for name, node in root.entries("api_keys").items()}


def _key_of(name: str, plain: object) -> ApiKey:
    told = cast(Mapping[str, object], plain)
    placements, rate = told.get("placements"), told.get("rate")
    return ApiKey(
        name,
        bytes.fromhex(str(told["hash"])),
        Scope(str(told["scope"])),
        frozenset(map(str, cast(list[object], placements))) if placements is not None else None,
        float(cast(float, rate)) if rate is not None else None,
        float(cast(float, told.get("burst", max(1.0, cast(float, rate or 1.0))))),
        is_revoked=bool(told.get("revoked", False)),
    )


def faults_of(root: Node) -> Iterator[str]:
    """What is wrong with the section, each beginning with its line; no fault holds a value."""
    section = root.find("api_keys")
    if section and not isinstance(section.plain, dict | None):
        yield f"{section.line}: api_keys: must be names, each with a hash and a scope"
    first: dict[str, str] = {}
    for name, node in root.entries("api_keys").items():
        at = f"{node.line}: api_keys.{name}"
        if not NAME.fullmatch(name):
            yield f"{node.line}: api_keys: a key's name has 1 to 64 letters, digits, _, . and -"
        elif not isinstance(node.plain, dict):
            yield f"{at}: must be {{hash: …, scope: …}}"
        else:
            yield from (f"{at}{fault}" for fault in _faults_of_key(node.plain))
            hashed = str(node.plain.get("hash")).lower()
            if first.setdefault(hashed, name) != name:
                yield f"{at}.hash: is that of {first[hashed]} too: a key has one name"


def _faults_of_key(told: Mapping[str, object]) -> Iterator[str]:
    for field in told.keys() - set(_FIELDS):
        yield f": unknown key{suggest(field, _FIELDS)}"
    if not isinstance(told.get("hash"), str) or not re.fullmatch("[0-9a-fA-F]{64}", str(told["hash"])):
        yield ".hash: must be a SHA-256, in quotes: 64 hexadecimal digits"
    if told.get("scope") not in list(Scope):
        yield f".scope: must be one of {', '.join(Scope)}"
    placements = told.get("placements")
    if "placements" in told and told.get("scope") != Scope.STOREFRONT:
        yield ".placements: only a key of scope storefront is for placements"
    elif "placements" in told and not _is_names(placements):
        yield ".placements: must be a list of names; without it the key is for all"
    for field in ("rate", "burst"):
        if field in told and not _is_rate(told[field]):
            yield f".{field}: must be a number of requests, 1 to {MAX_RATE}"
    if "burst" in told and "rate" not in told:
        yield ".burst: needs a rate"
    if not isinstance(told.get("revoked", False), bool):
        yield ".revoked: must be true or false"


def _is_names(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(name, str) and name for name in value)


def _is_rate(value: object) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(cast(float, value)) and 1 <= cast(float, value) <= MAX_RATE
