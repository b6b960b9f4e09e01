"""Port: where model snapshots live."""

from __future__ import annotations

from typing import NewType, Protocol

ModelKey = NewType("ModelKey", str)
Generation = NewType("Generation", int)
ABSENT = Generation(0)


class ModelStore(Protocol):
    """Versioned snapshots with one pointer to the newest, changed by compare-and-swap.

    Guarantees: a reader never sees half a snapshot. Of two writers that read the same generation exactly one
    publishes; the other gets Conflict and nothing of its snapshot becomes visible. What `publish` returned survives
    the death of every process.
    """

    def generation(self, key: ModelKey) -> Generation:
        """The newest generation, ABSENT before the first. Cheap: readers poll it. Raises: Unavailable, Corrupt."""

    def latest(self, key: ModelKey) -> tuple[bytes, Generation] | None:
        """The newest snapshot and its generation, or None before the first. Raises: Unavailable, Corrupt."""

    def read(self, key: ModelKey, generation: Generation) -> bytes:
        """One snapshot that is still kept. Raises: NotFound, Unavailable, Corrupt."""

    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        """Make `snapshot` the newest if the newest is still `if_generation` (ABSENT: if there is none).

        Raises: Conflict if it is not; Unavailable if that could not be found out. After Unavailable the caller
        does not know the outcome: it reads again before it writes again.
        """

    def history(self, key: ModelKey) -> list[Generation]:
        """Generations still kept, newest first. Called by people, not by the request path."""

    def keys(self) -> list[ModelKey]:
        """Every model that was ever published, sorted."""
