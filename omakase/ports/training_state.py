"""Port: what a bounded trainer remembers between ticks, changed by one transaction per tick."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from omakase.core.accounting import Side, Tally
from omakase.core.ids import RequestId
from omakase.ports.dead_letters import DeadLetter
from omakase.ports.model_store import ModelKey
from omakase.ports.pending_batches import Batch


@dataclass(frozen=True, slots=True)
class StoredState:
    """One slate's state, encoded. Units: due_at in Unix seconds: when it must be looked at although nothing came."""

    body: bytes
    due_at: float
    open_events: int
    open_deliveries: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a trainer has got: the last tick's number, the offset read up to, which slates are over, and the sequence
    of each model's last batch.

    Units: closed_before in Unix seconds: slates issued at or before it were given up, and their states dropped.
    watermark in Unix seconds: the latest time as of which a tick has closed sessions; never falls.
    """

    number: int = 0
    cursor: int = 0
    closed_before: float = -math.inf
    sequences: Mapping[ModelKey, int] = field(default_factory=dict)
    watermark: float = -math.inf


@dataclass(frozen=True, slots=True)
class Tick:
    """Everything that one tick changes; `progress.number` follows that of the last tick, as do the batches' sequences.

    `dead` are messages that were set aside. `replays` are the keys of those read that stand for no units: where one is
    a letter published again, the letter goes.
    """

    progress: Progress
    states: Mapping[RequestId, StoredState | None]
    tally: Tally = field(default_factory=Counter)
    batches: Sequence[Batch] = ()
    dead: Sequence[DeadLetter] = ()
    replays: Sequence[bytes] = ()


class TrainingState(Protocol):
    """Guarantees: a tick happened whole or not at all, and of two trainers that run the same one, one."""

    def incarnation(self) -> str:
        """A name made with this memory: if it is lost, its successor counts its batches under another name.

        Raises: Unavailable.
        """

    def held(self) -> AbstractContextManager[None]:
        """Keep every other trainer from ticking while the context is open: waits until none does.

        Two that ticked at once would write each other's examples over, though only one can commit.
        Guarantees: the holder's death frees it. Raises: Unavailable.
        """

    def progress(self) -> Progress:
        """Where the next tick starts. Raises: Unavailable."""

    def load(self, request_ids: Iterable[RequestId], due_by: float) -> Mapping[RequestId, bytes]:
        """The states of these slates, and of those due by then. Raises: Unavailable."""

    def commit(self, tick: Tick) -> None:
        """Change all of it. Raises: Conflict if `number` or a batch's sequence was taken; Unavailable."""

    def account(self) -> tuple[Side, Side]:
        """What became of deliveries and of events. Raises: Unavailable."""
