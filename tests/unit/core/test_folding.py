"""Sessions, one sentence of DESIGN.md at a time. That they add up for any history: tests/property."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from omakase.core.accounting import DELIVERIES, EVENTS, REDELIVERED
from omakase.core.events import Event, Joined
from omakase.core.folding import MAX_EVENTS, MAX_REPEATS, fold_slate
from omakase.core.ids import NOBODY, RequestId
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Fold, SessionRules, SlateRead, SlateState

T = 1000.0
REQUEST = RequestId(int(T * 1000).to_bytes(6, "big") + bytes(10))
RULES = SessionRules(gap_s=10.0, max_s=60.0, reward_window_s=1000.0, allowed_lateness_s=100.0)
EXPIRY = T + 1100.0
SLATE = SlateRead(positions=2, is_trainable=True)
NEW = SlateState(REQUEST)
REWARDS = {"home": RewardTable({"click": 1.0, "conversion": 2.0})}
JOINED = Joined(T, "home", "learnt", "ts", "m/abc", NOBODY, "i1", np.ones(1, np.float32), np.ones(1, np.float32))
_receipts = iter(range(10**6))


def event(kind: str, at: float, joined: Joined | None = JOINED, event_id: str = "", position: int = 1) -> Event:
    receipt = next(_receipts).to_bytes(16, "big")
    return Event(receipt, REQUEST, position, kind, T + at, event_id=event_id, delivery=joined)


def fold(
    state: SlateState | None, events: Sequence[Event], now: float, slate: SlateRead | None = None, **options: Any
) -> Fold:
    return fold_slate(state or NEW, slate, events, T + now, RULES, REWARDS, **options)


def kept(fold: Fold) -> SlateState:
    assert fold.state is not None
    return fold.state


def ends(fold: Fold, side: str) -> dict[str, int]:
    return {name: n for (of, name), n in fold.tally.items() if of == side and n}


@pytest.mark.parametrize("is_trainable", [True, False])
@pytest.mark.parametrize("told_first", [True, False])
def test_what_nobody_saw_ends_as_discarded_whichever_is_read_first(is_trainable: bool, told_first: bool) -> None:
    served = SlateRead(positions=2, is_trainable=is_trainable)
    first = fold(None, [], 1, None if told_first else served, is_discarded=told_first)
    second = fold(kept(first), [], 2, served if told_first else None, is_discarded=not told_first)
    again = fold(kept(second), [], 3, None, is_discarded=True)
    assert kept(again).open_deliveries == 2 * is_trainable
    last = fold(kept(again), [], math.inf)
    tally = first.tally + second.tally + again.tally
    tally.update(last.tally)
    assert {name: n for (_, name), n in tally.items() if n} == {"served": 2, "discarded": 2}


def test_what_is_told_of_a_discarded_slate_counts_all_the_same() -> None:
    told = fold(None, [event("click", 1)], 2, SLATE, is_discarded=True)
    last = fold(kept(told), [], math.inf)
    assert ends(last, DELIVERIES) == {"learnt": 1, "discarded": 1}


def test_that_a_slate_is_discarded_is_forgotten_with_its_window() -> None:
    told = fold(None, [], 1, None, is_discarded=True)
    assert fold(kept(told), [], 1100).state is None
    late = fold(None, [], 1101, None, is_discarded=True, closed_before=T)
    assert (late.state, ends(late, DELIVERIES)) == (None, {})


def test_a_session_closes_a_gap_after_its_last_event_and_not_before() -> None:
    first = fold(None, [event("impression", 0), event("click", 9)], 18.9, SLATE)
    assert not first.examples
    assert kept(first).due_at(RULES) == T + 19
    second = fold(first.state, [], 19)
    assert [(e.outcomes, e.before, e.at) for e in second.examples] == [({"click": 1.0, "reward": 1.0}, None, T)]
    assert ends(second, EVENTS) == {"used": 2}
    assert ends(second, DELIVERIES) == {"learnt": 1}


def test_a_session_closes_at_its_maximum_although_events_go_on() -> None:
    events = [event("conversion", at) for at in range(0, 60, 5)]
    assert len(fold(None, events, 60, SLATE).examples) == 1
    assert not fold(None, events, 59.9, SLATE).examples


def test_what_comes_in_a_later_session_corrects_with_the_weight_and_time_of_the_example() -> None:
    first = fold(None, [event("impression", 0)], 10, SLATE)
    assert ends(first, DELIVERIES) == {"served": 2, "learnt_without_click": 1}
    second = fold(first.state, [event("click", 50)], 60)
    (correction,) = second.examples
    assert correction.before == {"click": 0.0, "reward": 0.0}
    assert correction.outcomes == {"click": 1.0, "reward": 1.0}
    assert (correction.weight, correction.at, correction.clicked_at) == (1.0, T, T + 50)
    assert ends(second, EVENTS) == {"received": 1, "corrected_late": 1}
    assert ends(second, DELIVERIES) == {"learnt_without_click": -1, "learnt": 1}


def test_a_later_session_that_changes_nothing_makes_no_correction() -> None:
    first = fold(None, [event("click", 0)], 10, SLATE)
    second = fold(first.state, [event("impression", 50)], 60)
    assert not second.examples
    assert ends(second, EVENTS) == {"received": 1, "corrected_late": 1}


def test_a_click_alone_implies_its_impression() -> None:
    assert ends(fold(None, [event("click", 0)], math.inf, SLATE), DELIVERIES) == {"served": 2, "learnt": 1, "unseen": 1}


def test_what_nobody_saw_is_never_learnt() -> None:
    first = fold(None, [], 0, SLATE)
    assert kept(first).open_deliveries == 2
    assert kept(first).due_at(RULES) == EXPIRY
    last = fold(first.state, [], 1100)
    assert last.state is None
    assert not last.examples
    assert ends(last, DELIVERIES) == {"unseen": 2}


def test_without_a_model_events_are_used_and_nothing_is_learnt() -> None:
    plain = replace(JOINED, model="")
    last = fold(None, [event("click", 0, plain)], math.inf, SlateRead(2, is_trainable=False))
    assert not last.examples
    assert ends(last, EVENTS) == {"received": 1, "used": 1}
    assert ends(last, DELIVERIES) == {"served": 2, "not_trainable": 2}


@pytest.mark.parametrize(("kind", "count"), [("impression", 1), ("click", 1), ("conversion", 3)])
def test_without_event_ids_a_person_sees_and_clicks_once_but_may_buy_again(kind: str, count: int) -> None:
    counted = ends(fold(None, [event(kind, at) for at in range(3)], math.inf, SLATE), EVENTS)
    assert counted["used"] == count
    assert counted.get("duplicate", 0) == 3 - count


def test_an_event_id_tells_duplicates_apart_from_repetitions() -> None:
    events = [event("conversion", at, event_id=event_id) for at, event_id in enumerate(["o1", "o1", "o2"])]
    last = fold(None, events, math.inf, SLATE)
    assert ends(last, EVENTS) == {"received": 3, "used": 2, "duplicate": 1}
    assert last.examples[0].outcomes["reward"] == 4.0


def test_one_event_id_for_an_impression_and_its_click_means_two_events() -> None:
    last = fold(None, [event("impression", 0, event_id="v1"), event("click", 1, event_id="v1")], math.inf, SLATE)
    assert ends(last, DELIVERIES)["learnt"] == 1


def test_an_event_after_the_window_is_counted_and_not_learnt() -> None:
    last = fold(None, [event("impression", 1000), event("click", 1000.5)], math.inf, SLATE)
    assert ends(last, EVENTS) == {"received": 2, "used": 1, "after_window": 1}
    assert last.examples[0].outcomes["click"] == 0.0


def test_a_trainer_that_was_away_still_learns_what_came_in_time() -> None:
    last = fold(None, [event("click", 0)], 5000, SLATE)
    assert last.state is None
    assert ends(last, EVENTS) == {"received": 1, "used": 1}
    assert ends(last, DELIVERIES) == {"served": 2, "learnt": 1, "unseen": 1}


def test_an_event_read_after_its_slate_was_given_up_is_too_late() -> None:
    assert fold(None, [event("impression", 0)], 1100, SLATE).state is None
    late = fold(None, [event("click", 5)], 1101, closed_before=T)
    assert not late.examples
    assert ends(late, EVENTS) == {"received": 1, "after_window": 1}


def test_an_event_whose_delivery_never_came_is_an_orphan() -> None:
    assert ends(fold(None, [event("click", 0, joined=None)], math.inf), EVENTS) == {"received": 1, "orphan_expired": 1}


def test_a_delivery_remembers_no_more_than_its_bound() -> None:
    events = [event("conversion", 0, event_id=str(number)) for number in range(MAX_EVENTS + 5)]
    last = fold(None, events, math.inf, SLATE)
    assert ends(last, EVENTS) == {"received": MAX_EVENTS + 5, "used": MAX_EVENTS, "rejected": 5}


def test_each_further_duplicate_costs_no_more_than_the_bound_however_many_one_fold_reads() -> None:
    looked_at = 0

    class Counted(bytes):
        __hash__ = bytes.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal looked_at
            looked_at += 1
            return bytes.__eq__(self, other)  # type: ignore[no-any-return]

    sent = [event("click", i / 1000) for i in range(4 * MAX_REPEATS)]
    read = fold(None, [replace(one, receipt_id=Counted(one.receipt_id)) for one in sent], 5, SLATE)
    assert ends(read, EVENTS) == {"received": len(sent), "duplicate": len(sent) - 1}
    assert looked_at <= len(sent) * (MAX_REPEATS + 1)


def test_an_open_session_is_closed_when_its_slate_expires_however_long_the_gap() -> None:
    patient = replace(RULES, gap_s=5000.0, max_s=5000.0)
    first = fold_slate(NEW, SLATE, [event("click", 999)], T + 1000, patient, REWARDS)
    assert not first.examples
    last = fold_slate(kept(first), None, [], EXPIRY, patient, REWARDS)
    assert last.state is None
    assert len(last.examples) == 1
    assert ends(last, EVENTS) == {"used": 1}
    assert ends(last, DELIVERIES) == {"learnt": 1, "unseen": 1}


def test_a_late_event_does_not_close_a_session_that_is_still_going_on() -> None:
    first = fold(None, [event("impression", 20)], 25, SLATE)
    second = fold(first.state, [event("conversion", 12)], 25)
    assert not second.examples
    assert fold(second.state, [], 30).examples[0].outcomes["reward"] == 2.0


def test_reading_again_changes_nothing_but_its_count() -> None:
    events = [event("impression", 0), event("impression", 1), event("click", 2, joined=None), event("click", 2000)]
    first = fold(None, events, 5, SLATE)
    again = fold(first.state, events, 5, SLATE)
    assert ends(again, EVENTS) == {REDELIVERED: 4}
    assert ends(again, DELIVERIES) == {REDELIVERED: 2}
    assert again.state == first.state


def test_a_record_that_comes_after_its_events_settles_what_was_learnt_on_credit() -> None:
    first = fold(None, [event("click", 0)], 10)
    assert kept(first).open_deliveries == -1
    second = fold(first.state, [], 20, SLATE)
    assert kept(second).open_deliveries == 1
    dropped, late = fold(first.state, [], 1100), fold(None, [], 1200, SLATE)
    total = first.tally.copy()
    for part in (dropped, late):
        total.update(part.tally)
    assert {name: n for (of, name), n in total.items() if of == DELIVERIES} == {"learnt": 1, "served": 2, "unseen": 1}


def test_after_a_drain_a_further_event_does_not_start_a_second_example() -> None:
    drained = fold(None, [event("impression", 0)], math.inf, SLATE)
    assert drained.state is None
    assert len(drained.examples) == 1
    late = fold(None, [event("click", 20)], 30, closed_before=T)
    assert not late.examples
    assert late.state is None
    assert ends(late, EVENTS) == {"received": 1, "after_window": 1}
    assert fold(None, [event("click", 20)], 30, closed_before=T - 1).state is not None


def test_a_slate_that_is_remembered_is_not_closed_by_a_drain_of_others() -> None:
    first = fold(None, [event("impression", 0)], 5, SLATE)
    second = fold(first.state, [event("click", 6)], 30, closed_before=T + 100)
    assert second.examples[0].outcomes["click"] == 1.0
    assert second.state is not None


def test_a_record_first_read_after_a_drain_is_served_and_unseen() -> None:
    last = fold(None, [], 30, SLATE, closed_before=T)
    assert last.state is None
    assert ends(last, DELIVERIES) == {"served": 2, "unseen": 2}


def unwanted(at: float, kind: str = "click") -> Event:
    return replace(event(kind, at), unwanted="bot")


def test_an_unwanted_event_excludes_its_whole_delivery_before_its_session_closes() -> None:
    last = fold(None, [event("impression", 0), unwanted(1), event("conversion", 2)], math.inf, SLATE)
    assert not last.examples
    assert ends(last, EVENTS) == {"received": 3, "excluded": 3}
    assert ends(last, DELIVERIES) == {"served": 2, "excluded": 1, "unseen": 1}


def test_an_unwanted_event_takes_back_what_was_learnt_of_its_delivery() -> None:
    first = fold(None, [event("impression", 0), event("click", 1)], 20, SLATE)
    second = fold(first.state, [event("conversion", 30)], 50)
    third = fold(second.state, [unwanted(60)], 80)
    (taken_back,) = third.examples
    assert taken_back.outcomes is None
    assert taken_back.before == second.examples[0].outcomes
    assert (taken_back.weight, taken_back.position) == (1.0, 1)
    total = first.tally + second.tally
    total.update(third.tally)
    assert {name: n for (of, name), n in total.items() if of == EVENTS and n} == {"received": 4, "excluded": 4}
    assert {name: n for (of, name), n in total.items() if of == DELIVERIES and n} == {"served": 2, "excluded": 1}
    assert kept(third).open_deliveries == 1


def test_a_click_that_waits_when_its_delivery_is_taken_back_is_no_click_that_was_learnt() -> None:
    first = fold(None, [event("impression", 0)], 20, SLATE)
    second = fold(first.state, [event("click", 30), unwanted(31, "conversion")], 50)
    (taken_back,) = second.examples
    assert (taken_back.outcomes, taken_back.clicked_at) == (None, None)


def test_what_comes_after_the_exclusion_is_excluded_too_and_read_again_is_redelivered() -> None:
    events = [event("impression", 0), unwanted(1)]
    first = fold(None, events, 50, SLATE)
    second = fold(first.state, [*events, event("click", 60)], 80)
    assert not second.examples
    assert ends(second, EVENTS) == {REDELIVERED: 2, "received": 1, "excluded": 1}


def test_the_other_deliveries_of_the_slate_are_learnt() -> None:
    last = fold(None, [unwanted(0), event("click", 0, position=2)], math.inf, SLATE)
    assert [example.position for example in last.examples] == [2]
    assert ends(last, DELIVERIES) == {"served": 2, "excluded": 1, "learnt": 1}


def test_an_excluded_delivery_that_nothing_is_learnt_from_is_excluded_and_not_also_not_trainable() -> None:
    plain = replace(JOINED, model="")
    events = [event("impression", 0, plain), replace(event("click", 20, plain), unwanted="bot")]
    for cut in (0, 1, 2):
        first = fold(None, events[:cut], 15)
        second = fold(first.state, events[cut:], math.inf, SlateRead(2, is_trainable=False))
        total = first.tally.copy()
        total.update(second.tally)
        assert {name: n for (of, name), n in total.items() if of == DELIVERIES and n} == {
            "served": 2,
            "excluded": 1,
            "not_trainable": 1,
        }


def test_an_unwanted_event_after_the_window_changes_nothing() -> None:
    last = fold(None, [event("click", 0), unwanted(1000.5)], math.inf, SLATE)
    assert len(last.examples) == 1
    assert ends(last, EVENTS) == {"received": 2, "used": 1, "after_window": 1}


def test_an_exclusion_made_by_omakase_is_no_event_that_anybody_sent() -> None:
    exclusion = replace(event("impression", 5), type="exclusion", unwanted="forgotten")
    last = fold(None, [event("click", 0), exclusion], math.inf, SLATE)
    assert not last.examples
    assert ends(last, EVENTS) == {"received": 1, "excluded": 1}
    assert ends(fold(None, [exclusion], math.inf, SLATE), DELIVERIES) == {"served": 2, "excluded": 1, "unseen": 1}


def test_an_order_that_no_delivery_is_known_of_is_counted_as_unattributed() -> None:
    order = replace(event("conversion", 0, joined=None, event_id="o1"), position=0)
    assert ends(fold(None, [order], math.inf), EVENTS) == {"received": 1, "unattributed": 1}


def test_a_return_takes_back_its_conversion_also_when_it_comes_first() -> None:
    events = [event("conversion", 1, event_id="o1"), event("return", 2, event_id="o1")]
    for order in (events, events[::-1]):
        last = fold(None, order, math.inf, SLATE)
        assert last.examples[0].outcomes["reward"] == 0.0
        assert ends(last, EVENTS) == {"received": 2, "used": 2}


def test_an_example_is_as_old_as_its_slate_however_its_events_were_cut() -> None:
    first = fold(None, [event("impression", 3)], 20, SLATE)
    second = fold(first.state, [event("click", 1)], 30)
    assert {example.at for example in (*first.examples, *second.examples)} == {T}
