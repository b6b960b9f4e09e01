"""No deadline for a single example: these tests share their machine with others."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("omakase", deadline=None, print_blob=True)
settings.load_profile("omakase")
