"""The file of keys: what signs delivery ids and hides people.

    signing_key: 1
    keys:
      1: 8f0c…            # hexadecimal, at least 16 bytes; a number from 0 to 255 names it
    pseudonym_key: 51aa…
    api_keys:             # optional; see `omakase.api_keys`
      orders: {hash: "5e88…", scope: server}

To rotate the signing key: add a key under a new number everywhere, then point `signing_key` to it everywhere, then
remove the old one when the last delivery id it signed is older than the reward window. In this order every service
knows a key before it meets an id that the key signed. The pseudonym key does not rotate: with another one every person
is a stranger.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import mkstemp

from omakase.api_keys import ApiKey, api_keys_of, faults_of
from omakase.config.document import Node, read
from omakase.config.text import read_text
from omakase.core.errors import InvalidConfig, InvalidInput, Unavailable
from omakase.core.ids import Keyring
from omakase.core.suggestion import suggest

_REQUIRED = ("signing_key", "keys", "pseudonym_key")
_KNOWN = (*_REQUIRED, "api_keys")
_KEY_BYTES = 32
_MOST_BYTES = 1_000_000
_KEY_NUMBERS = frozenset(str(number) for number in range(256))
_log = logging.getLogger(__name__)


def load_keys(path: Path) -> Keyring:
    """Read a file of keys, YAML or JSON.

    A file that others may write is refused: they could sign what they like. One that others may read is only warned
    of, for that is how orchestrators mount secrets.
    Raises: InvalidConfig naming every fault; no message holds a key.
    """
    root = _root(path, read_text(path, _MOST_BYTES))
    try:
        return Keyring(
            {int(number): bytes.fromhex(str(node.plain)) for number, node in root.entries("keys").items()},
            int(str(root.children["signing_key"].plain)),
            bytes.fromhex(str(root.children["pseudonym_key"].plain)),
        )
    except InvalidInput as error:
        raise InvalidConfig([f"{path}: {error}"]) from None


def load_api_keys(path: Path) -> Mapping[str, ApiKey]:
    """The API keys by name, revoked ones too. Raises: InvalidConfig, as `load_keys`."""
    return api_keys_of(_root(path, read_text(path, _MOST_BYTES)))


def replace_keys(path: Path, text: str) -> None:
    """Write the file anew, readable as before. Guarantees: it is the old or the new one, whatever happens.

    Raises: InvalidConfig if `text` is no file of keys; Unavailable if it cannot be written.
    """
    _root(path, text)
    try:
        temporary = _temporary(path, text)
        try:
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise Unavailable(f"{path}: cannot be written: {error.strerror}") from error
    _sync(path.parent)


def _root(path: Path, text: str) -> Node:
    """What `text` says, without a fault. Raises: InvalidConfig."""
    _check_mode(path)
    try:
        root, found = read(text)
    except InvalidConfig as error:
        # Not the parser's own words: they may quote what it stumbled over.
        lines = [fault.split(":")[0] for fault in error.faults]
        raise InvalidConfig([f"{path}:{line}: is neither YAML nor JSON" for line in lines]) from None
    faults = [f"{path}:{fault.line}: cannot be read, or is given twice" for fault in found]
    faults += [f"{path}:{fault}" for fault in _faults(root)]
    if faults:
        raise InvalidConfig(faults)
    return root


def create_keys(path: Path, random: Callable[[int], bytes] = os.urandom) -> Keyring:
    """Make a file of keys if there is none yet, readable by its owner alone.

    Guarantees: the file appears whole or not at all; of several processes that create it at once one wins, and all
    return what it wrote. Raises: InvalidConfig if the file that is there is wrong; Unavailable if none can be made.
    """
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _publish(path, _text_of(random))
        except OSError as error:
            if not path.exists():  # else somebody else won
                raise Unavailable(f"{path}: keys cannot be made: {error.strerror}") from error
    return load_keys(path)


def _text_of(random: Callable[[int], bytes]) -> str:
    return (
        "# Omakase's keys. Keep them secret, and the same for every service; omakase/keys.py says how to rotate them.\n"
        "signing_key: 1\n"
        "keys:\n"
        f'  1: "{random(_KEY_BYTES).hex()}"\n'
        f'pseudonym_key: "{random(_KEY_BYTES).hex()}"\n'
    )


def _publish(path: Path, text: str) -> None:
    temporary = _temporary(path, text)
    try:
        os.link(temporary, path)  # unlike a rename, fails if the file is there
        _sync(path.parent)
    finally:
        os.unlink(temporary)


def _temporary(path: Path, text: str) -> str:
    """A synced file beside `path`, mode 0600. Its caller removes it."""
    descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(temporary)
        raise
    return temporary


def _sync(path: Path) -> None:
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_mode(path: Path) -> None:
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidConfig([f"{path}: others may write these keys; run: chmod 600 {path}"])
    if mode & stat.S_IROTH:
        _log.warning("%s: every user of this machine may read these keys; chmod 600 keeps them secret", path)


def _faults(root: Node) -> Iterator[str]:
    """What is wrong with the shape, each beginning with its line."""
    for name, node in root.entries().items():
        if name == "server_keys":
            yield f"{node.line}: server_keys: write api_keys, and in it NAME: {{hash: …, scope: server}}"
        elif name not in _KNOWN:
            yield f"{node.line}: unknown key{suggest(name, _KNOWN)}"
    for name in _REQUIRED:
        if name not in root.children:
            yield f"{root.line}: {name}: is missing"
    signing = root.find("signing_key")
    if signing and not _is_key_number(str(signing.plain)):
        yield f"{signing.line}: signing_key: must be the number of one of the keys, 0 to 255"
    for number, node in root.entries("keys").items():
        if not _is_key_number(number):
            yield f"{node.line}: keys: a key's name is a number from 0 to 255"
        elif not _is_key(node):
            yield f"{node.line}: keys.{number}: {_KEY_RULE}"
    yield from faults_of(root)
    pseudonym = root.find("pseudonym_key")
    if pseudonym and not _is_key(pseudonym):
        yield f"{pseudonym.line}: pseudonym_key: {_KEY_RULE}"


_KEY_RULE = f"must be a text, in quotes, of hexadecimal digits: {2 * _KEY_BYTES} of them are {_KEY_BYTES} bytes"


def _is_key_number(word: str) -> bool:
    return word in _KEY_NUMBERS


def _is_key(node: Node) -> bool:
    try:
        return isinstance(node.plain, str) and len(bytes.fromhex(node.plain)) >= 16
    except ValueError:
        return False
