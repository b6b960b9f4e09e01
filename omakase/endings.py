"""What the trainer has made of one delivery so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

from omakase.adapters import open_dead_letters, open_training_state
from omakase.adapters.local.files import disk_errors
from omakase.config import parse_product
from omakase.core.accounting import DeliveryEnd
from omakase.core.errors import Corrupt
from omakase.core.ids import DeliveryId, issued_at
from omakase.core.sessions import DeliveryState, SessionRules, SlateState
from omakase.deployment import Deployment
from omakase.states import decode_state
from omakase.wire import request_id_of

OPEN, UNREAD = "open", "unread"


@dataclass(frozen=True, slots=True)
class Ending:
    """`state` is one of the account's, `open`, or `unread`: the trainer has yet to come to it.

    `session_until` is when the session that is under way closes at the latest known, None where there is none;
    `open_until` when its reward window and what is waited for the late are over, None where the trainer remembers the
    delivery no more. `dead_letters` are why messages of its slate were set aside. Units: Unix seconds.
    """

    state: str
    session_until: float | None = None
    open_until: float | None = None
    dead_letters: Sequence[str] = ()


def read_ending(
    deployment: Deployment,
    named: DeliveryId,
    *,
    is_known: bool,
    is_trainable: bool,
    outcomes: Sequence[float | None],
    is_unwanted: bool,
) -> Ending:
    """`outcomes` are the clicks of its examples, in their order: None is one that was taken back.

    Raises: Unavailable; InvalidConfig where the copy of the configuration is damaged.
    """
    uris = deployment.uris
    training = open_training_state(uris.training)
    progress = training.progress()
    letters = [f"{letter.reason}: {letter.detail}" for letter in open_dead_letters(uris.training).read()
               if _is_of(letter.body, named)]  # fmt: skip
    body = training.load([named.request_id], -inf).get(named.request_id)
    if body is not None:
        rules = _rules(deployment.config_before)
        return _remembered(decode_state(body), named.position, rules, letters)
    if outcomes:
        state = _learnt(outcomes)
    elif is_known and not is_trainable:
        state = DeliveryEnd.NOT_TRAINABLE
    elif issued_at(named.request_id) > progress.closed_before:
        state = UNREAD
    else:
        state = DeliveryEnd.EXCLUDED if is_unwanted else DeliveryEnd.UNSEEN
    return Ending(state, dead_letters=letters)


def _remembered(slate: SlateState, position: int, rules: SessionRules, letters: Sequence[str]) -> Ending:
    delivery = slate.deliveries.get(position, DeliveryState())
    closes_at = delivery.closes_at(rules)
    state: str
    if slate.is_discarded and delivery.learnt is None:
        state = DeliveryEnd.DISCARDED
    elif delivery.excluded:
        state = DeliveryEnd.EXCLUDED
    elif delivery.learnt is not None:
        state = _learnt([delivery.learnt.outcomes.get("click", 0.0)])
    else:
        state = OPEN if slate.is_trainable or not slate.positions else DeliveryEnd.NOT_TRAINABLE
    return Ending(state, None if closes_at == inf else closes_at, slate.expires_at(rules), letters)


def _rules(config: Path) -> SessionRules:
    with disk_errors(f"read {config}"):
        return parse_product(config.read_text(), str(config)).learning.rules()


def _learnt(outcomes: Sequence[float | None]) -> str:
    if outcomes[-1] is None:
        return DeliveryEnd.EXCLUDED
    return DeliveryEnd.LEARNT if outcomes[-1] else DeliveryEnd.LEARNT_WITHOUT_CLICK


def _is_of(body: bytes, named: DeliveryId) -> bool:
    try:
        return bytes(named.request_id) in body and request_id_of(body) == named.request_id
    except Corrupt:
        return False
