"""Every error Omakase raises on purpose.

OmakaseError
├── InvalidInput            the caller can mend it; the message says what to change
│   ├── InvalidConfig       a configuration file or an environment variable
│   ├── InvalidDeliveryId   malformed, forged or expired: `reason` says which
│   ├── InvalidFeature      a value that does not fit its feature
│   └── NotFound            a name that nothing here has
├── Refused                 whatever it asks, its sender may not
│   ├── Unauthorized        no key, or none of ours
│   ├── Forbidden           a key that is not for this
│   └── TooFrequent         more often than the key may: try again after `retry_after_s`
├── Conflict                somebody else wrote first: read again, then write again
├── Unavailable             the outcome is unknown or the thing is away: try again later
│   └── Overloaded          a bounded queue is full: try again after `retry_after_s`
└── Corrupt                 stored bytes that cannot be what was written

Core errors know no status codes: each edge (HTTP, gRPC, command line) maps them in one table.
"""

from __future__ import annotations


class OmakaseError(Exception):
    """Base of every error raised on purpose."""


class InvalidInput(OmakaseError):
    """The caller can mend it; the message says what to change."""


class InvalidConfig(InvalidInput):
    """A configuration that is refused as a whole, every fault named."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class InvalidDeliveryId(InvalidInput):
    """A delivery ID that this service did not issue or no longer honours."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InvalidFeature(InvalidInput):
    """A context or metadata value that does not fit the feature that reads it."""


class NotFound(InvalidInput):
    """A name that nothing here has."""


class Refused(OmakaseError):
    """Whatever it asks, its sender may not."""


class Unauthorized(Refused):
    """No key was shown, or none of ours."""


class Forbidden(Refused):
    """What was shown is ours, and not for this."""


class TooFrequent(Refused):
    """The key's own bound on how often it may ask."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Conflict(OmakaseError):
    """Somebody else wrote first; nothing of this write became visible."""


class Unavailable(OmakaseError):
    """The thing is away, or the outcome of a write could not be found out."""


class Overloaded(Unavailable):
    """A bounded queue is full."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Corrupt(OmakaseError):
    """Stored bytes that cannot be what was written."""
