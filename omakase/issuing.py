"""API keys made and revoked: lines of the file of keys, edited so that whatever else a person wrote there stays."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from omakase.api_keys import NAME, Scope, hash_of, new_key
from omakase.core.errors import InvalidConfig, InvalidInput, NotFound
from omakase.core.suggestion import suggest
from omakase.keys import load_api_keys, replace_keys

_SECTION = re.compile(r"^api_keys:[ \t]*(#.*)?$", re.MULTILINE)


def create_key(
    path: Path,
    name: str,
    scope: Scope,
    *,
    placements: Sequence[str] = (),
    rate: float | None = None,
    burst: float | None = None,
    random: Callable[[int], bytes] = os.urandom,
) -> str:
    """Make a key, put its hash into the file of keys, and return it: it cannot be shown again.

    No placements: for all. Guarantees: the file is the old or the new one, whatever happens; of two processes that
    write at once none undoes the other. Raises: InvalidInput; InvalidConfig; Unavailable.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(f"{name[:64]!r} is no name: use 1 to 64 letters, digits, _, . and -")
    with _alone(path):
        if name in load_api_keys(path):
            raise InvalidInput(f"there is a key {name!r} already: choose another name, such as {name}-2")
        key = new_key(random)
        limits = {"placements": list(placements) or None, "rate": rate, "burst": burst}
        given = "".join(f", {field}: {json.dumps(value)}" for field, value in limits.items() if value is not None)
        line = f'  {name}: {{hash: "{hash_of(key.encode()).hex()}", scope: {scope}{given}}}'
        text = path.read_text()
        if _SECTION.search(text):
            text = _SECTION.sub(lambda found: f"{found[0]}\n{line}", text, count=1)
        else:
            text = f"{text.rstrip()}\napi_keys:\n{line}\n"
        _replace(path, text, f"put this under api_keys:\n{line}")
    return key


def revoke_key(path: Path, name: str) -> None:
    """Mark a key as revoked. Guarantees and Raises as `create_key`; NotFound if there is no such key."""
    with _alone(path):
        keys = load_api_keys(path)
        if name not in keys:
            raise NotFound(f"there is no key {name[:64]!r}{suggest(name, keys)}")
        if keys[name].is_revoked:
            return
        line = re.compile(rf"^([ \t]+{re.escape(name)}:[ \t]*\{{[^{{}}#\n]*?),?[ \t]*\}}", re.MULTILINE)
        text, found = line.subn(r"\1, revoked: true}", path.read_text(), count=1)
        by_hand = f"write `revoked: true` into the entry {name} under api_keys"
        if not found:
            raise InvalidInput(f"{path} is not written as Omakase writes it: {by_hand}")
        _replace(path, text, by_hand)


def _replace(path: Path, text: str, by_hand: str) -> None:
    try:
        replace_keys(path, text)
    except InvalidConfig:
        raise InvalidInput(f"{path} is not written as Omakase writes it: {by_hand}") from None


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process makes or revokes a key meanwhile. The directory is locked: the file itself is replaced."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
