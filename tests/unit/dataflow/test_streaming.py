"""The streaming assembly under a watermark that the test moves, one sentence of the design at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from dataflow.panes import OVER, Panes
from dataflow.sequences import Release
from dataflow.streaming import Batching, Streaming
from omakase.adapters.local.model_store import FileModelStore
from omakase.config import load_product
from omakase.configured import learners_of, widths_of
from omakase.core.accounting import DELIVERIES, EVENTS
from omakase.core.events import Event, Joined
from omakase.core.ids import NOBODY, RequestId, text_of
from omakase.core.propensities import Propensities, SlatePropensities
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules
from omakase.core.slates import Delivery, Slate
from omakase.ports.model_store import Generation, ModelKey
from omakase.states import decode_state
from omakase.wire import bus_body, encode_propensities
from tests.unit.dataflow.stream import OpenStore, Ran, Stream, stopped_clock

T = 1_760_000_000.0
KEY = ModelKey("home/abc")
RULES = SessionRules(gap_s=10.0, max_s=60.0, reward_window_s=1000.0, allowed_lateness_s=100.0)
PANES = Panes(RULES, {"home": RewardTable({"click": 1.0})}, {KEY: (1, 2)})
_receipts = iter(range(10**6))


def request(n: int = 1) -> RequestId:
    return RequestId(int(T * 1000).to_bytes(6, "big") + n.to_bytes(10, "big"))


def slate(n: int = 1, positions: int = 1) -> Slate:
    deliveries = tuple(
        Delivery(at + 1, f"i{at + 1}", "", 0.0, None, None, None, np.array([1.0, at], np.float32), {})
        for at in range(positions)
    )
    context = np.array([0.5], np.float32)
    return Slate(request(n), T, "home", "learnt", "ts", KEY, f"{KEY}@0", 0, NOBODY, NOBODY, {}, context, deliveries)


def event(kind: str, at: float, n: int = 1, position: int = 1, unwanted: str = "") -> Event:
    joined = Joined.of(slate(n, 3), position)
    receipt = next(_receipts).to_bytes(16, "big")
    return Event(receipt, request(n), position, kind, T + at, delivery=joined, unwanted=unwanted)


def start(*records: Slate) -> Stream:
    stream = Stream().watermark(T)
    return stream.send(*records, at=T) if records else stream


@pytest.fixture
def run(tmp_path: Path):
    def run(stream: Stream, size: int = 100, **release: object) -> Ran:
        options = {"open_store": OpenStore(tmp_path), "learners": {}, "shard": "s", "interval_s": 2.0}
        release = {**options, "clock": stopped_clock, **release}
        return stream.run(Streaming(PANES, {}, Batching(size, 5.0), Release(**release)), tmp_path)

    return run


def learnt(ran: Ran) -> list[tuple[object, ...]]:
    """(click, click before, weight) of each row, in the order of their batches."""
    rows = sorted(ran.rows, key=lambda row: (row["sequence"], row["click_before"] is not None))
    return [(row["click"], row["click_before"], row["weight"]) for row in rows]


def ends(ran: Ran, side: str) -> dict[str, int]:
    return {name: n for (of, name), n in ran.tally.items() if of == side}


def clicks(ran: Ran) -> tuple[float, int]:
    """What the model holds: clicks and examples."""
    sums = ran.models[KEY].statistics
    return sums.outcomes["click"].energy, sums.examples


def test_the_watermark_closes_a_session_and_the_model_is_published_before_the_stream_ends(run) -> None:
    ran = run(start(slate()).send(event("impression", 1), event("click", 3)).watermark(T + 13).pass_time(10))
    assert clicks(ran) == (1.0, 1)
    assert ends(ran, EVENTS) == {"received": 2, "used": 2}
    assert [(p.generation, p.through, p.clicks) for p in ran.publications] == [(1, 1, (T + 3,))]


def test_a_session_is_open_until_the_watermark_has_passed_its_gap(run) -> None:
    open_yet = start(slate()).send(event("impression", 1)).watermark(T + 10.9).pass_time(50)
    ran = run(open_yet.send(event("click", 10.9)))
    assert learnt(ran) == [(1.0, None, 1.0)]


def test_a_session_closes_at_its_maximum_and_no_other_does_although_its_slate_s_session_goes_on(run) -> None:
    scrolls = [event("scroll", at) for at in range(1, 66, 8)]
    busy = start(slate(positions=2)).send(event("impression", 0), *scrolls, event("impression", 58, position=2))
    busy.watermark(T + 59).pass_time(60).send(event("click", 66, position=2)).pass_time(60)
    ran = run(busy.watermark(T + 66).pass_time(10).send(event("click", 67)))
    rows = {(row["sequence"] == 1, row["position"], row["click"], row["click_before"]) for row in ran.rows}
    assert rows == {(True, 1, 0.0, None), (False, 1, 1.0, 0.0), (False, 2, 1.0, None)}


def test_a_click_counts_before_its_impression_and_without_it(run) -> None:
    stream = start(*(slate(n) for n in range(3))).send(event("click", 2, n=0))
    stream.send(event("click", 2, n=1), event("impression", 1, n=1))
    stream.send(event("impression", 1, n=2), event("click", 2, n=2))
    ran = run(stream)
    assert learnt(ran) == [(1.0, None, 1.0)] * 3
    assert ends(ran, DELIVERIES) == {"served": 3, "learnt": 3}


def test_a_late_click_is_one_correction_with_the_weight_of_its_example(run) -> None:
    stream = start(slate()).send(event("impression", 1)).watermark(T + 500).pass_time(10)
    ran = run(stream.send(event("click", 20)).pass_time(10))
    assert learnt(ran) == [(0.0, None, 1.0), (1.0, 0.0, 1.0)]
    assert clicks(ran) == (1.0, 1)
    assert ends(ran, EVENTS) == {"received": 2, "used": 1, "corrected_late": 1}


def test_propensities_are_passed_by(run) -> None:
    positions = Propensities(np.array([0.4]), np.array([10]), np.array([4]), np.array([False]))
    stream = start(slate()).send(encode_propensities(SlatePropensities(request(), positions)), at=T + 1)
    ran = run(stream.send(event("click", 2)))
    assert learnt(ran) == [(1.0, None, 1.0)]
    assert ends(ran, DELIVERIES) == {"served": 1, "learnt": 1}
    assert ran.dead_letters == []


def test_duplicates_and_redelivered_messages_are_learnt_once(run) -> None:
    click = event("click", 2)
    stream = start(slate()).send(click, event("click", 3), click).watermark(T + 100)
    ran = run(stream.send(slate(), at=T).send(click, event("click", 40)))
    assert clicks(ran) == (1.0, 1)
    assert ends(ran, EVENTS) == {"received": 3, "redelivered": 2, "duplicate": 2, "used": 1}
    assert ends(ran, DELIVERIES) == {"served": 1, "redelivered": 1, "learnt": 1}


def test_events_before_their_slate_s_record_are_learnt_and_the_record_pays_the_debt(run) -> None:
    stream = Stream().watermark(T).send(event("click", 2)).watermark(T + 90)
    ran = run(stream.send(slate(positions=2), at=T + 1))
    assert clicks(ran) == (1.0, 1)
    assert ends(ran, DELIVERIES) == {"served": 2, "learnt": 1, "unseen": 1}


def test_what_nobody_saw_within_the_window_is_unseen_and_never_learnt(run) -> None:
    ran = run(start(slate(positions=3)).watermark(T + 1001).send(event("click", 1001)))
    assert ends(ran, DELIVERIES) == {"served": 3, "unseen": 3}
    assert ends(ran, EVENTS) == {"received": 1, "after_window": 1}
    assert (ran.rows, ran.models) == ([], {})


def test_what_is_received_at_the_end_of_a_window_is_learnt_although_people_go_on_after_it(run) -> None:
    stream = start(slate()).send(event("impression", 1)).watermark(T + 999).send(event("click", 999))
    for at in range(1005, 1200, 6):
        stream.send(event("scroll", at)).watermark(T + at)
    ran = run(stream)
    assert learnt(ran) == [(0.0, None, 1.0), (1.0, 0.0, 1.0)]
    assert ends(ran, EVENTS) == {"received": 35, "used": 1, "corrected_late": 1, "after_window": 33}


def test_a_slate_that_was_given_up_is_not_taken_for_a_new_one(run) -> None:
    stream = start(slate()).send(event("impression", 1)).watermark(T + 1111).send(event("click", 999))
    ran = run(stream)
    assert learnt(ran) == [(0.0, None, 1.0)]
    assert ends(ran, EVENTS) == {"received": 2, "used": 1, "after_window": 1}
    assert ends(ran, DELIVERIES) == {"served": 1, "learnt_without_click": 1}


def test_what_turns_out_unwanted_after_it_was_learnt_is_taken_back(run) -> None:
    stream = start(slate(positions=2)).send(event("click", 1), event("click", 1, position=2)).watermark(T + 50)
    ran = run(stream.pass_time(10).send(event("impression", 51, unwanted="bot")))
    assert learnt(ran) == [(1.0, None, 1.0), (1.0, None, 1.0), (None, 1.0, 1.0)]
    assert clicks(ran) == (1.0, 1)
    assert ends(ran, DELIVERIES) == {"served": 2, "learnt": 1, "excluded": 1}


def test_mini_batches_are_cut_by_size(run) -> None:
    stream = start(*(slate(n) for n in range(5))).send(*(event("impression", 1, n) for n in range(5)))
    ran = run(stream.watermark(T + 50), size=2)
    assert sorted(row["sequence"] for row in ran.rows) == [1, 1, 2, 2, 3]
    assert list(ran.models[KEY].sequences.values()) == [3]


def test_mini_batches_are_cut_by_time_and_what_waits_goes_out_in_one_publication(run) -> None:
    stream = start(slate(1), slate(2)).send(event("impression", 1)).watermark(T + 50).pass_time(6)
    ran = run(stream.send(event("click", 50, 2)).watermark(T + 99).pass_time(1).pass_time(99), interval_s=100)
    assert sorted(row["sequence"] for row in ran.rows) == [1, 2]
    assert [(p.generation, p.through) for p in ran.publications] == [(1, 2)]


def test_what_cannot_be_used_is_a_dead_letter_and_does_not_stop_its_slate(run) -> None:
    rubbish, cut = b"\xff\xff", bus_body(event("click", 1))[:-20]
    misfit = event("click", 2)
    assert misfit.delivery is not None
    misfit = replace(misfit, delivery=replace(misfit.delivery, item_factor=np.ones(5, np.float32)))
    ran = run(start(slate()).send(rubbish, cut, at=T + 1).send(misfit, event("impression", 1)))
    assert {(body, reason) for body, reason, _ in ran.dead_letters} == {
        (rubbish, "undecodable"),
        (cut, "undecodable"),
        (bus_body(misfit), "features"),
    }
    assert clicks(ran) == (0.0, 1)


@pytest.mark.parametrize("which", [0, 1], ids=["linear", "logistic"])
def test_a_product_s_configuration_is_all_it_takes(tmp_path: Path, which: int) -> None:
    product = load_product(Path(__file__).parents[3] / "examples/storefront.yaml")
    key, (m, p) = list(widths_of(product).items())[which]
    click = event("click", 1)
    assert click.delivery is not None
    factors = {"context_factor": np.ones(m, np.float32), "item_factor": np.ones(p, np.float32)}
    click = replace(click, delivery=replace(click.delivery, model=key, **factors))
    streaming = Streaming.of(product, OpenStore(tmp_path), "s", clock=stopped_clock)
    ran = start().send(click).run(streaming, tmp_path)
    assert ran.models[ModelKey(key)].statistics.examples == 1
    assert ran.models[ModelKey(key)].statistics.is_logit == bool(which)
    assert ran.models[ModelKey(key)].statistics.half_life_s == learners_of(product)[key].half_life_s


@dataclass(frozen=True)
class Dying:
    """Opens models whose writer dies once, after it has written and before it says so."""

    directory: Path

    def __call__(self) -> FileModelStore:
        return _DyingStore(self.directory)


class _DyingStore(FileModelStore):
    def publish(self, key: ModelKey, snapshot: bytes, *, if_generation: Generation) -> Generation:
        written = super().publish(key, snapshot, if_generation=if_generation)
        if written == 1:
            raise RuntimeError("the worker died")
        return written


def test_a_bundle_that_is_run_again_after_it_published_learns_nothing_twice(run, tmp_path: Path) -> None:
    stream = start(slate()).send(event("click", 1)).watermark(T + 50).pass_time(10)
    ran = run(stream.send(event("impression", 60, n=2)), open_store=Dying(tmp_path))
    assert clicks(ran) == (1.0, 2)
    assert len(ran.rows) == 2
    assert list(ran.models[KEY].sequences.values()) == [2]


def test_a_pane_that_is_folded_again_makes_the_same_and_folded_on_top_makes_nothing() -> None:
    bodies = [bus_body(event("impression", 1)), bus_body(event("click", 2))]
    once, again = (PANES.fold(None, request(), bodies, T + 12) for _ in range(2))
    for folded, *_ in (once, again):
        assert [e.outcomes for e in folded.examples] == [{"click": 1.0, "reward": 1.0}]
    assert (again[0].tally, decode_state(again[1]), again[2]) == (once[0].tally, decode_state(once[1]), once[2])
    on_top, kept, due_at = PANES.fold(once[1], request(), bodies, T + 12)
    assert (on_top.examples, dict(on_top.tally)) == ((), {(EVENTS, "redelivered"): 2})
    assert (decode_state(kept), due_at) == (decode_state(once[1]), once[2])


def test_a_slate_that_is_over_is_remembered_until_nothing_of_it_can_come() -> None:
    _, kept, due_at = PANES.fold(None, request(), [bus_body(slate())], T + 1000)
    assert (kept != OVER, due_at) == (True, T + 1000 + 100 + 10)
    _, kept, due_at = PANES.fold(kept, request(), [], due_at)
    assert kept == OVER
    # The last event of the window is dropped by then: its own window ends a gap after it, and then comes the lateness.
    assert due_at == T + 1000 + 10 + PANES.lateness_s


def test_what_a_drained_job_had_is_not_learnt_again_by_the_next(tmp_path: Path) -> None:
    """It has learnt the slates that were issued until it drained, and nobody remembers them."""
    before, after = event("click", 2), replace(slate(2), served_at=T + 1)
    panes = replace(PANES, closed_before=T)
    later = RequestId(int((T + 1) * 1000).to_bytes(6, "big") + bytes(10))
    after = replace(after, request_id=later)
    joined = Joined.of(after, 1)
    clicked = Event(bytes(16), later, 1, "click", T + 3, delivery=joined)
    release = Release(OpenStore(tmp_path), {}, "s", 2.0, stopped_clock)
    stream = Stream().watermark(T).send(before).send(after, at=T + 1).send(clicked)
    ran = stream.run(Streaming(panes, {}, Batching(100, 5.0), release), tmp_path)
    assert clicks(ran) == (1.0, 1)
    assert [row["request_id"] for row in ran.rows] == [text_of(later)]
    assert ends(ran, EVENTS) == {"received": 2, "after_window": 1, "used": 1}
