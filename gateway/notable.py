"""Slates that somebody may want to look into: what the log and the trace say of them."""

from __future__ import annotations

import logging

from gateway.answers import Recommendation
from omakase.logs import FewLines
from omakase.serving.tracing import Span, Untraced

log = logging.getLogger(__name__)


class Notable:
    """Tells the log of fallbacks and of slow slates, each by its `request_id`: of either a line a second at most.

    Cost: nothing for the others. Units: `slow_s` in seconds.
    """

    def __init__(self, slow_s: float) -> None:
        self._slow_s = slow_s
        self._lines = FewLines(log)

    def see(self, answer: Recommendation, fallback: str, took_s: float) -> None:
        """A slate as it is answered; `fallback` is why it is one, empty if it is none."""
        if not fallback and took_s <= self._slow_s:
            return
        where, took_ms = f"{answer.placement}, variant {answer.variant}", round(1000 * took_s)
        if fallback:
            message = "a fallback slate at %s after %d ms: %s"
            self._lines.warn(fallback, message, where, took_ms, fallback, request_id=answer.request_id)
        else:
            self._lines.warn("slow", "a slow slate at %s: %d ms", where, took_ms, request_id=answer.request_id)


def tell_span(span: Span | Untraced, answer: Recommendation, fallback: str) -> None:
    """What a span says of a slate. Cost: nothing where nothing is traced."""
    if isinstance(span, Untraced):
        return
    span.tell(
        request_id=answer.request_id,
        placement=answer.placement,
        variant=answer.variant,
        policy=answer.policy,
        model_version=answer.model_version or "",
        items=len(answer.items),
        fallback=fallback,
    )
