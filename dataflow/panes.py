"""Slates between panes: the stateful step of the streaming assembly, over the same fold as a tick's.

A pane is a batch of messages and never an example: panes discard, so a late click arrives alone. What was read of a
slate before is Beam's state of its key, and what is due although nothing comes is an event-time timer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import apache_beam as beam
from apache_beam.coders import BytesCoder
from apache_beam.transforms.timeutil import TimeDomain
from apache_beam.transforms.userstate import (
    ReadModifyWriteRuntimeState,
    ReadModifyWriteStateSpec,
    RuntimeTimer,
    TimerSpec,
    on_timer,
)
from apache_beam.utils.timestamp import Timestamp

from dataflow.transforms import MESSAGE, STATE, Folded, FoldSlate
from omakase.configured import Widths
from omakase.core.ids import RequestId, issued_at
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules

# What is remembered of a slate that was given up, so that it is not taken for a new one.
OVER = b""

TALLIES, DEAD_LETTERS = "tallies", "dead letters"


@dataclass(frozen=True, slots=True)
class Panes:
    """Folds one slate's panes. `widths` as in `dataflow.bounded.Pipeline`.

    A slate issued at or before `closed_before` was another job's, which has drained: what is still read of it is after
    the window. Units: Unix seconds.
    """

    rules: SessionRules
    rewards: Mapping[str, RewardTable]
    widths: Mapping[str, Widths]
    closed_before: float = -math.inf

    def takes(self, request_id: RequestId, received_at: float) -> bool:
        """Whether what was received then is within the slate's reward window."""
        return received_at <= issued_at(request_id) + self.rules.reward_window_s

    def fold(
        self, kept: bytes | None, request_id: RequestId, bodies: Iterable[bytes], now: float
    ) -> tuple[Folded, bytes, float]:
        """What `bodies` come to, what to keep, and when to look again although nothing came (Unix seconds).

        `kept` is what the fold before returned, or None. `now` is no later than the watermark.
        Guarantees: pure, so a bundle that is run again gives the same. Folded twice, a pane changes nothing but
        `redelivered`.
        """
        closed_before = math.inf if kept == OVER else self.closed_before
        entries = [STATE + kept] if kept else []
        entries += [MESSAGE + body for body in bodies]
        step = FoldSlate(now, closed_before, self._waiting, self.rewards, self.widths)
        (folded,) = step.process((request_id, entries))
        if folded.state is None:
            return folded, OVER, self.forgets_at(request_id)
        return folded, folded.state.body, folded.state.due_at

    @property
    def lateness_s(self) -> float:
        """How late behind the watermark a message may reach its window: as long as a slate takes anything."""
        return self._waiting.reward_window_s + self._waiting.allowed_lateness_s

    def forgets_at(self, request_id: RequestId) -> float:
        """When nothing received within the slate's reward window can come any more: Beam would drop it as too late."""
        return issued_at(request_id) + self.rules.reward_window_s + self.rules.gap_s + self.lateness_s

    @property
    def _waiting(self) -> SessionRules:
        """A message waits up to a gap in its window before it is folded: a slate is over a gap later than in a tick."""
        return replace(self.rules, allowed_lateness_s=self.rules.allowed_lateness_s + self.rules.gap_s)


class FoldPanes(beam.DoFn):  # type: ignore[misc]
    """(request id, (watermark, messages)) to (model, example); tallies and dead letters on the side."""

    KEPT = ReadModifyWriteStateSpec("kept", BytesCoder())
    DUE = TimerSpec("due", TimeDomain.WATERMARK)

    def __init__(self, panes: Panes) -> None:
        self._panes = panes

    def process(
        self,
        element: tuple[bytes, tuple[float, Sequence[bytes]]],
        kept: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(KEPT),
        due: RuntimeTimer = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[object]:
        request_id, (watermark, bodies) = element
        yield from self._fold(RequestId(request_id), bodies, watermark, kept, due)

    @on_timer(DUE)  # type: ignore[untyped-decorator]
    def look_again(
        self,
        request_id: bytes = beam.DoFn.KeyParam,
        at: Timestamp = beam.DoFn.TimestampParam,
        kept: ReadModifyWriteRuntimeState = beam.DoFn.StateParam(KEPT),
        due: RuntimeTimer = beam.DoFn.TimerParam(DUE),
    ) -> Iterator[object]:
        """A session closes, the window has passed, or nothing more can come."""
        if kept.read():
            yield from self._fold(RequestId(request_id), (), float(at), kept, due)
        else:
            kept.clear()

    def _fold(
        self,
        request_id: RequestId,
        bodies: Iterable[bytes],
        now: float,
        kept: ReadModifyWriteRuntimeState,
        due: RuntimeTimer,
    ) -> Iterator[object]:
        folded, keep, look_again_at = self._panes.fold(kept.read(), request_id, bodies, now)
        kept.write(keep)
        due.set(_just_after(look_again_at))
        for example in folded.examples:
            yield example.delivery.model, example
        if folded.tally:
            yield beam.pvalue.TaggedOutput(TALLIES, folded.tally)
        for unusable in folded.unusable:
            yield beam.pvalue.TaggedOutput(DEAD_LETTERS, unusable)


def _just_after(at: float) -> Timestamp:
    """Never before `at`, whatever was rounded: runners count in milliseconds."""
    return Timestamp(micros=(math.ceil(at * 1000) + 1) * 1000)
