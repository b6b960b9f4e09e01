"""The product's configuration while services run: followed as its file changes, refused where it is wrong.

Each service that serves requests looks at the file by itself. A change is taken when it is valid as a whole and has
come to rest. It takes effect without a restart, in an order in which nobody is asked for what he does not know yet:

1. recommenders and tracking take it at once. A recommender goes on serving the names of the configuration before that
   the new one lacks;
2. the gateway waits until every recommender that the new one names says that it serves it, but no longer than its
   grace, then swaps. Requests in flight end on what they began with.

What is refused changes nothing: the last valid configuration stays in force, and all faults are logged, once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self, TypeAlias

from prometheus_client import Gauge

from omakase.adapters import open_shared_text
from omakase.config import Product, load_product
from omakase.core.errors import InvalidConfig, OmakaseError
from omakase.serving.configuration_copy import ConfigurationCopy
from omakase.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 1.0
# A refused file is read again now and then: what is wrong may be another one that it names.
_RETRY_S = 10.0

REFUSED = Gauge("omakase_configuration_refused", "1 while the file has a configuration that is not in force")
TAKEN_AT = Gauge("omakase_configuration_taken_seconds", "Since when the configuration is in force, Unix seconds")
IN_FORCE = Gauge("omakase_configuration_info", "1 for the configuration in force", ["digest"])

# What tells one state of the files from another: the text's digest, then what is told of each file that it names.
Sign: TypeAlias = tuple[object, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Revision:
    """One state of a configuration. Equal digests: the same bytes, in its file and in those that it names."""

    product: Product
    digest: str
    text: bytes = b""

    @classmethod
    def of(cls, path: Path, beside: Path | None = None) -> Self:
        """`beside`: as if the file lay beside that one. Raises: InvalidConfig."""
        try:
            text = path.read_bytes()
            product = load_product(path, beside)
            digest = sha256(text)
            for file in product.files():
                digest.update(file.read_bytes())
            if path.read_bytes() != text:
                return cls.of(path, beside)
        except OSError as error:
            raise InvalidConfig([f"{path}: cannot be read: {error.strerror}"]) from None
        return cls(product, digest.hexdigest()[:16], text)


class Configuration:
    """Follows one file: rewritten, replaced, or swapped as Kubernetes swaps the link to a ConfigMap.

    `newest` is what was taken last, `in_force` what this process serves by. Guarantees: both are valid as a whole.
    Nothing is taken that was not found twice, `poll_s` apart, for somebody may be writing it. A fault is logged when it
    appears, not at every look. To be used by one thread at a time.
    """

    def __init__(
        self,
        newest: Revision,
        path: Path | None = None,
        poll_s: float = POLL_S,
        monotonic: Callable[[], float] = time.monotonic,
        copy: ConfigurationCopy | None = None,
    ) -> None:
        """Without a path it never changes. `copy` is what keeps the file like the one that a cluster shares."""
        self.newest = self.in_force = newest
        self.path = path
        self.copy = copy
        self._poll_s = poll_s
        self._monotonic = monotonic
        self._look_at = self._retry_at = monotonic()
        self._seen: Sign = ()
        self._judged: Sign = ()
        self.faults: list[str] = []
        self._obstacle = ""

    @classmethod
    def of(
        cls, path: Path, poll_s: float = POLL_S, before: Path | None = None, copy: ConfigurationCopy | None = None
    ) -> Self:
        """What the file has now; if that is refused, `before`, a copy of what was valid last.

        Raises: InvalidConfig if there is no such copy.
        """
        try:
            return cls(Revision.of(path), path, poll_s, copy=copy)
        except InvalidConfig:
            if before is None or not before.exists():
                raise
            return cls(Revision.of(before, beside=path), path, poll_s, copy=copy)

    @classmethod
    def named_by(cls, settings: Settings) -> Self:
        """That of a service: a file, or what a cluster shares. Raises: InvalidConfig; Unavailable."""
        before = None if settings.config_before is None else Path(settings.config_before)
        if not settings.config.startswith("gs:"):
            return cls.of(Path(settings.config), settings.config_poll_s, before)
        copy = ConfigurationCopy(open_shared_text(settings.config))
        return cls.of(copy.path, settings.config_poll_s, before, copy)

    @classmethod
    def fixed(cls, product: Product) -> Self:
        """One that never changes."""
        return cls(Revision(product, "fixed"))

    def look(self) -> Revision:
        """The newest valid state; looks at the file when it is time to. Blocks. Never raises."""
        now = self._monotonic()
        if self.path is None or now < self._look_at:
            return self.newest
        self._look_at = now + self._poll_s
        if self.copy is not None:
            self.copy.refresh()
        before, self._seen = self._seen, self._sign(self.path)
        is_due = self._seen != self._judged or (bool(self.faults) and now >= self._retry_at)
        if self._seen == before and is_due:
            self._judge(self.path, self._seen)
        return self.newest

    def serve(self, revision: Revision) -> None:
        """Say that a state is in force here."""
        self.in_force = revision
        IN_FORCE.clear()
        IN_FORCE.labels(revision.digest).set(1)
        TAKEN_AT.set(time.time())
        log.info("configuration %s is in force", revision.digest)
        self._obstacle = ""
        self._tell()

    def postpone(self, error: Exception) -> None:
        """Say that the newest state cannot be put in force yet, and why. Logged once."""
        told = str(error) if isinstance(error, OmakaseError) else repr(error)
        if told != self._obstacle:
            is_ours = isinstance(error, OmakaseError)
            log.error(
                "configuration %s waits, the last one stays in force: %s",
                self.newest.digest,
                told,
                exc_info=None if is_ours else error,
            )
        self._obstacle = told
        self._tell()

    def _judge(self, path: Path, seen: Sign) -> None:
        self._judged, self._retry_at = seen, self._monotonic() + _RETRY_S
        try:
            found = Revision.of(path)
        except InvalidConfig as error:
            self._refuse(error.faults)
            return
        if self._sign(path) != seen:  # changed while it was read: it has not come to rest
            self._judged = ()
            return
        self._refuse([])
        if found.digest != self.newest.digest:
            self.newest = found
            self._judged = self._sign(path)  # it may name other files

    def _refuse(self, faults: list[str]) -> None:
        if faults and faults != self.faults:
            log.error("the configuration is refused, the last one stays in force:\n%s", "\n".join(faults))
        elif self.faults and not faults:
            log.info("the configuration is valid again")
        self.faults = faults
        self._tell()

    def _tell(self) -> None:
        REFUSED.set(bool(self.faults or self._obstacle))

    def _sign(self, path: Path) -> Sign:
        """The file is small and read whole; those that it names may be large."""
        try:
            text = sha256(path.read_bytes()).digest()
        except OSError as error:
            return (repr(error),)
        return (text, *map(_told, self.newest.product.files()))


def _told(file: Path) -> object:
    try:
        found = file.stat()
    except OSError as error:
        return repr(error)
    return found.st_ino, found.st_size, found.st_mtime_ns
