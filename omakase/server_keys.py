"""Keys of the shop's own servers: who may say what something is worth. Only their hashes are kept.

They stand in the file of keys, see `omakase.keys`:

    server_keys:
      orders: 5e88…       # the SHA-256 of the key, in hexadecimal

A key is 256 random bits, so that a plain hash suffices: there is nothing to guess.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path

from omakase.core.errors import InvalidConfig, InvalidInput, OmakaseError
from omakase.core.ids import text_of
from omakase.keys import load_server_keys, replace_keys

log = logging.getLogger(__name__)

_PREFIX = "omk_"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}")
_SECTION = re.compile(r"^server_keys:[ \t]*(#.*)?$", re.MULTILINE)


class ServerKeys:
    """The keys in a file, read again whenever the file has changed; one that cannot be read changes nothing."""

    def __init__(self, path: Path) -> None:
        """Raises: InvalidConfig; Unavailable."""
        self._path = path
        self._version = _version(path)
        self._hashes = load_server_keys(path)

    def is_empty(self) -> bool:
        return not self._newest()

    def owner(self, key: str) -> str | None:
        """The name of a key; None if it is none of ours. Guarantees: takes as long for any key."""
        hashed = sha256(key.encode()).digest()
        owner = None
        for name, known in self._newest().items():
            if hmac.compare_digest(hashed, known):
                owner = name
        return owner

    def _newest(self) -> Mapping[str, bytes]:
        version = _version(self._path)
        if version != self._version:
            self._version = version
            try:
                self._hashes = load_server_keys(self._path)
            except OmakaseError as error:
                log.error("the server keys stay as they were: %s", error)
        return self._hashes


def _version(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def add_server_key(path: Path, name: str, random: Callable[[int], bytes] = os.urandom) -> str:
    """Make a key, put its hash into the file of keys, and return it: it cannot be shown again.

    Guarantees: the file is the old or the new one, whatever happens. Raises: InvalidInput; InvalidConfig; Unavailable.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"{name[:64]!r} is no name: use 1 to 64 letters, digits, _, . and -")
    if name in load_server_keys(path):
        raise InvalidInput(f"there is a server key {name!r} already; choose another name or remove it from {path}")
    key = _PREFIX + text_of(random(32))
    line = f'  {name}: "{sha256(key.encode()).hexdigest()}"'
    text = path.read_text()
    if _SECTION.search(text):
        text = _SECTION.sub(lambda found: f"{found[0]}\n{line}", text, count=1)
    else:
        text = f"{text.rstrip()}\nserver_keys:\n{line}\n"
    try:
        replace_keys(path, text)
    except InvalidConfig:
        raise InvalidInput(f"{path} is not written as Omakase writes it: put this under server_keys:\n{line}") from None
    return key
