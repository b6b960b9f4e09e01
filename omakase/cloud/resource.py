"""One thing that a deployment needs of its project."""

from __future__ import annotations

from typing import Protocol


class Resource(Protocol):
    """A topic, a bucket, a table: declared here, and made so in the project."""

    @property
    def name(self) -> str:
        """Kind and place, such as `topic projects/shop/topics/events`."""

    def difference(self) -> str | None:
        """What `ensure` would do, such as `create, kept 7 days`; None if all is as declared. Raises: Unavailable."""

    def ensure(self) -> None:
        """Create it, or change what can be changed; never drops data. Idempotent, also beside others that do the same.

        Raises: Unavailable; InvalidInput if it is there and cannot be what is declared.
        """
