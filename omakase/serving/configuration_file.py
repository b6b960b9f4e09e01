"""The product's configuration replaced from outside: whole, valid, and not by two people at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from omakase.adapters.local.files import locked, temporary_beside, write_whole
from omakase.config import Product, load_product
from omakase.core.errors import Conflict, InvalidConfig, InvalidInput, Unavailable
from omakase.ports.shared_text import SharedText


class ReadOnly(InvalidInput):
    """A file that this process may not replace, such as one that Kubernetes mounts from a ConfigMap."""


def digest_of(text: bytes) -> str:
    """What names a text. That of a `Revision` is the same, where the configuration names no other file."""
    return sha256(text).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ConfigurationFile:
    """One file. Services follow it by themselves: see `omakase.serving.configuration`.

    `check` refuses products that this deployment cannot serve, by InvalidConfig.
    """

    path: Path
    check: Callable[[Product], object]

    def read(self) -> bytes:
        """Raises: Unavailable."""
        try:
            return self.path.read_bytes()
        except OSError as error:
            raise Unavailable(f"the configuration cannot be read: {error.strerror}") from error

    def replace(self, text: bytes, before: str) -> str:
        """Put a text in place of the one that `before` is the digest of; that one is kept as `<name>.previous`.

        Returns the digest. A link is followed to the file that it names. Guarantees: the file is the old or the new
        one, whatever dies; of two who replace the same one goes through. Idempotent: what is there already is fine,
        whatever `before` says.
        Raises: InvalidConfig with every fault and its line; Conflict where `before` is not there any more; ReadOnly;
        Unavailable.
        """
        path = self.path.resolve()
        with _writable(path), locked(path.with_name(f".{path.name}.lock")):
            current = self.read()
            if current == text:
                return digest_of(text)
            if digest_of(current) != before:
                raise Conflict(f"the configuration is another by now, {digest_of(current)}: read it again")
            _validate(path, text, self.check)
            write_whole(path.with_name(f"{path.name}.previous"), current)
            write_whole(path, text)
            return digest_of(text)


@dataclass(frozen=True, slots=True)
class SharedConfiguration:
    """A text that a cluster shares, as a `ConfigurationFile`; `copy` is the file that this process has of it."""

    shared: SharedText
    copy: Path
    check: Callable[[Product], object]

    def read(self) -> bytes:
        """Raises: Unavailable; Corrupt."""
        return self.shared.read()[0]

    def replace(self, text: bytes, before: str) -> str:
        """See ConfigurationFile. Raises: InvalidConfig; Conflict; Unavailable."""
        current, version = self.shared.read()
        if current == text:
            return digest_of(text)
        if digest_of(current) != before:
            raise Conflict(f"the configuration is another by now, {digest_of(current)}: read it again")
        _validate(self.copy, text, self.check)
        self.shared.replace(text, version)
        return digest_of(text)


def _validate(path: Path, text: bytes, check: Callable[[Product], object]) -> None:
    """As if it lay there. Raises: InvalidConfig, naming the lines."""
    candidate = temporary_beside(path)
    try:
        candidate.write_bytes(text)
        check(load_product(candidate))
    except InvalidConfig as error:
        raise InvalidConfig([fault.removeprefix(f"{candidate}:") for fault in error.faults]) from None
    finally:
        candidate.unlink(missing_ok=True)


@contextmanager
def _writable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReadOnly(
            f"the configuration cannot be written here: {error.strerror}. Where it comes from a ConfigMap, change that"
        ) from error
