"""Every count against the others. What does not agree is said in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omakase.core.posterior import Statistics
from tests.fault.matrix.evidence import Evidence
from tests.fault.matrix.notes import Answer, Wish
from tests.fault.matrix.reference import Place, counted, fold
from tests.plain_sums import Sums

_ENDS_OF_COUNTED = ("used", "corrected_late")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The cells of a row. `faults` is empty where all is well; `unanswered` were stored and got no 202."""

    requests: int
    accepted: int
    unanswered: int
    fallbacks: int
    errors: int
    cut: int
    is_balanced: bool
    lost: int
    learnt_twice: int
    is_reference: bool
    faults: tuple[str, ...]


def judge(evidence: Evidence) -> Verdict:
    """Hold the storefront's notes, tracking's log, the trainer's ends and the models against each other."""
    notes = evidence.notes
    books, log, model = list(_of_books(evidence)), list(_of_log(evidence)), list(_of_models(evidence))
    # What was learnt too often in one model must not make up for what another one lacks.
    twice = [snapshot.statistics.examples - _examples(evidence, key) for key, snapshot in evidence.snapshots.items()]
    if not notes.accepted() or not fold(evidence.learnable, evidence.events):
        model.append("nothing was learnt, so nothing was shown")
    return Verdict(
        requests=notes.requests,
        accepted=notes.accepted(),
        unanswered=_unanswered(evidence),
        fallbacks=notes.fallbacks,
        errors=len(notes.errors),
        cut=notes.cut,
        is_balanced=not books,
        lost=len(_lost(evidence)),
        learnt_twice=sum(n for n in twice if n > 0),
        is_reference=not model,
        faults=(*notes.errors[:5], *books, *log, *model),
    )


def _of_books(evidence: Evidence) -> Iterator[str]:
    """The accounting: it balances, nothing is open, and its states are those that the log's rows lead to."""
    account = evidence.account
    yield from account.faults()
    left = {
        "open deliveries": account.deliveries.open,
        "open events": account.events.open,
        "parked events": account.parked,
        "unread messages": account.unread,
    }
    yield from (f"{n} {what} after the drain" for what, n in left.items() if n)
    ends = account.events.ends
    if not account.accepted == sum(ends.values()) == len(evidence.events):
        yield f"accepted {account.accepted}, ended {sum(ends.values())}, in the warehouse {len(evidence.events)} events"
    if not account.recorded == sum(account.deliveries.ends.values()) == evidence.delivery_rows:
        yield (
            f"recorded {account.recorded}, ended {sum(account.deliveries.ends.values())}, "
            f"in the warehouse {evidence.delivery_rows} deliveries"
        )
    orphans = sum((event.request_id, event.position) not in evidence.deliveries for event in evidence.events)
    happened = counted(event for event in evidence.events if (event.request_id, event.position) in evidence.deliveries)
    different = sum(map(len, happened.values()))
    expected = {
        "counted": different,
        "orphan_expired": orphans,
        "duplicate": len(evidence.events) - orphans - different,
    }
    found = Counter({"counted" if name in _ENDS_OF_COUNTED else name: 0 for name in (*expected, *ends)})
    for name, n in ends.items():
        found["counted" if name in _ENDS_OF_COUNTED else name] += n
    if found != Counter(expected):
        yield f"events ended as {dict(found)}, their rows say {expected}"


def _of_log(evidence: Evidence) -> Iterator[str]:
    """The storefront's notes against tracking's log, sending by sending, and against the records of its slates."""
    if lost := _lost(evidence):
        yield f"{len(lost)} sendings with a 202 are not in the log, such as {evidence.notes.sent[lost[0]][0]}"
    names = {place: delivery.delivery_id for place, delivery in evidence.deliveries.items()}
    wrong = 0
    for event in evidence.events:
        sent = evidence.notes.sent.get(event.number)
        place = (event.request_id, event.position)
        same = Wish(names.get(place, sent[0].delivery_id if sent else ""), event.type, event.event_id)
        wrong += sent is None or sent[1] is Answer.REFUSED or sent[0] != same
    if wrong:
        yield f"{wrong} stored events are not what was sent"
    repeated = [number for number, n in Counter(event.number for event in evidence.events).items() if n > 1]
    if repeated:
        yield f"{len(repeated)} sendings are stored more than once"
    items = {delivery.delivery_id: delivery.item_id for delivery in evidence.deliveries.values()}
    shown = evidence.notes.shown.items()
    missing = [id_ for id_, shown in shown if id_ not in items and not shown.is_fallback]
    if missing:
        yield f"{len(missing)} deliveries that a recommender served have no record"
    other = [id_ for id_, shown in shown if items.get(id_, shown.item_id) != shown.item_id]
    if other:
        yield f"{len(other)} records name another item than the storefront showed"


def _of_models(evidence: Evidence) -> Iterator[str]:
    """The models against the reference."""
    expected = fold(evidence.learnable, evidence.events)
    if expected.keys() != evidence.snapshots.keys():
        yield f"models {sorted(evidence.snapshots)} were published, {sorted(expected)} learnt from"
    for key in expected.keys() & evidence.snapshots.keys():
        snapshot, sums = evidence.snapshots[key], expected[key]
        yield from (f"{key}: {what}" for what in _differences(snapshot.statistics, sums))
        if snapshot.frozen:
            yield f"{key} is still frozen"
    kept = {key: sums.examples for key, sums in fold(evidence.deliveries, evidence.events).items()}
    if kept != evidence.examples:
        yield f"the warehouse keeps the examples {dict(evidence.examples)}, {kept} were learnt"


def _differences(learnt: Statistics, sums: Sums) -> Iterator[str]:
    if (learnt.examples, learnt.weight) != (sums.examples, sums.weight):
        yield f"{learnt.examples} examples of weight {learnt.weight:g}, the reference has {sums.examples}"
    if not _is_close(learnt.precision, sums.precision):
        yield "the precision is not the reference's"
    if learnt.outcomes.keys() != sums.moments.keys():
        yield f"the outcomes are {sorted(learnt.outcomes)}, not {sorted(sums.moments)}"
    for name in learnt.outcomes.keys() & sums.moments.keys():
        outcome = learnt.outcomes[name]
        if not _is_close(outcome.moment, sums.moments[name]):
            yield f"the moment of {name} is not the reference's"
        if not _is_close(outcome.energy, sums.energies[name]):
            yield f"the energy of {name} is {outcome.energy}, the reference's {sums.energies[name]}"


def _is_close(found: object, expected: object) -> bool:
    """Sums of some thousands of terms in another order differ by rounding alone."""
    a, b = np.asarray(found), np.asarray(expected)
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-9, atol=1e-9))


def _lost(evidence: Evidence) -> list[int]:
    """The sendings that got a 202 and are not in tracking's log."""
    stored = {event.number for event in evidence.events}
    answered = (number for number, (_, answer) in evidence.notes.sent.items() if answer is Answer.ACCEPTED)
    return [number for number in answered if number not in stored]


def _unanswered(evidence: Evidence) -> int:
    """The stored events whose 202 never reached the storefront: of cut requests and 503s, so at most all of those."""
    sent = evidence.notes.sent
    return sum(event.number in sent and sent[event.number][1] is Answer.UNKNOWN for event in evidence.events)


def _examples(evidence: Evidence, key: str) -> int:
    """How many deliveries with accepted events a model has to learn from."""
    places: set[Place] = {(event.request_id, event.position) for event in evidence.events}
    return sum(place in places and delivery.model == key for place, delivery in evidence.learnable.items())
