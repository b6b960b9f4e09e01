"""A configuration that a cluster shares, as a file of this process, which is followed as any other."""

from __future__ import annotations

import atexit
import logging
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from omakase.adapters.local.files import write_whole
from omakase.core.errors import OmakaseError
from omakase.ports.shared_text import SharedText

log = logging.getLogger(__name__)


class ConfigurationCopy:
    """Files that the configuration names are not copied: it names them by absolute paths."""

    def __init__(self, shared: SharedText) -> None:
        """Raises: Unavailable; Corrupt."""
        self.shared = shared
        directory = mkdtemp(prefix="omakase-")
        atexit.register(rmtree, directory, ignore_errors=True)
        self.path = Path(directory) / shared.name
        self._complaint = ""
        self._version = self._copied()

    def refresh(self) -> None:
        """Copy it again if it has changed. Never raises: what was copied last stays, and the log says so, once."""
        complaint = ""
        try:
            if self.shared.version() != self._version:
                self._version = self._copied()
        except OmakaseError as error:
            complaint = str(error)
        if complaint and complaint != self._complaint:
            log.error("the configuration cannot be looked at, the last one stays in force: %s", complaint)
        elif self._complaint and not complaint:
            log.info("the configuration can be looked at again")
        self._complaint = complaint

    def _copied(self) -> int:
        text, version = self.shared.read()
        write_whole(self.path, text, is_synced=False)
        return version
