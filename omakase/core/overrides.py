"""Signed permissions to see one variant: for quality assurance, before anybody else does.

    placement:variant:expiry:seal      home-top:treatment:1795600000:nJ2d…

The seal covers the person too, who is not in it: whoever finds an override, or sends it for somebody else, at another
placement or after its expiry, is refused.
"""

from __future__ import annotations

from hmac import compare_digest

from omakase.core.errors import Forbidden
from omakase.core.ids import Keyring, Pseudonym

_PURPOSE = "override"
# The expiry is whole seconds of this century, so that there is one spelling of it.
_EXPIRY_DIGITS = 10


def issue(keyring: Keyring, placement: str, variant: str, unit: Pseudonym, expires_at: int) -> str:
    """The value of the header. Units: expires_at in Unix seconds."""
    return f"{placement}:{variant}:{expires_at}:{_seal(keyring, placement, variant, unit, str(expires_at))}"


def placement_of(override: str) -> str:
    """Which placement it says that it is for: nothing is verified."""
    return override.partition(":")[0]


def verify(keyring: Keyring, override: str, placement: str, unit: Pseudonym, now: float) -> str:
    """The variant that an override of ours shows this person here. Raises: Forbidden. Cost: one HMAC, about 3 µs."""
    parts = override.split(":") if override.isascii() else []
    if len(parts) != 4 or len(parts[2]) != _EXPIRY_DIGITS or not parts[2].isdecimal():
        raise Forbidden("the override is not as it was issued")
    named, variant, expiry, seal = parts
    if not compare_digest(seal, _seal(keyring, named, variant, unit, expiry)):
        raise Forbidden("the override was not issued for this person, or not by this service")
    if named != placement:
        raise Forbidden("the override is for another placement")
    if int(expiry) <= now:
        raise Forbidden("the override has expired: issue another")
    return variant


def _seal(keyring: Keyring, placement: str, variant: str, unit: Pseudonym, expiry: str) -> str:
    return keyring.seal(_PURPOSE, placement, variant, unit, expiry)
