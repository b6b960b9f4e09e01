"""Whose word is good for a client: a workload's own identity, or nobody's where an emulator answers."""

from __future__ import annotations

import os

from google.auth.credentials import AnonymousCredentials, Credentials


def credentials_for(emulator: str) -> Credentials | None:
    """For a client whose emulator is named by that variable; None lets the client find its own."""
    return AnonymousCredentials() if os.environ.get(emulator) else None
