"""A model's snapshot as bytes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from omakase.core.errors import Corrupt
from omakase.core.logistic import sums_of
from omakase.core.posterior import Outcome, Statistics
from omakase.core.rows import Rows
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot, model_key, model_version
from omakase.v1 import model_pb2 as pb
from tests.items import LEARNER, seen


def learnt(d: int = 3, n: int = 50) -> Statistics:
    rng = np.random.default_rng(1)
    outcomes = {"click": rng.random(n).round(), "reward": rng.normal(size=n)}
    return Statistics.of(rng.normal(size=(n, d)), outcomes, rng.random(n))


def snapshot(statistics: Statistics | None = None) -> Snapshot:
    return Snapshot(
        "home", "abc", statistics or learnt(), {"embedded": 7, "other": 1}, 123.5, True, "rollback to 3", 99.5
    )


def message() -> pb.ModelSnapshot:
    return pb.ModelSnapshot.FromString(encode_snapshot(snapshot()))


def test_comes_back_to_the_bit():
    before = snapshot()
    after = decode_snapshot(encode_snapshot(before))
    fields = ("model", "schema_id", "sequences", "published_at", "frozen", "reason", "trusted_from")
    assert [getattr(after, field) for field in fields] == [getattr(before, field) for field in fields]
    # A product of floats may differ from its transpose in the last bit; one triangle is kept for both.
    lower = np.tril_indices(3)
    assert_array_equal(after.statistics.precision[lower], before.statistics.precision[lower])
    assert_array_equal(after.statistics.precision, after.statistics.precision.T)
    assert after.statistics.outcomes.keys() == {"click", "reward"}
    for name, outcome in before.statistics.outcomes.items():
        assert_array_equal(after.statistics.outcomes[name].moment, outcome.moment)
        assert after.statistics.outcomes[name].energy == outcome.energy
    assert (after.statistics.weight, after.statistics.examples) == (before.statistics.weight, 50)


def test_an_empty_one_comes_back_empty():
    after = decode_snapshot(encode_snapshot(Snapshot("home", "abc", Statistics.empty(0))))
    assert (after.statistics.dimensions, after.statistics.examples, dict(after.sequences)) == (0, 0, {})


def test_what_is_decoded_may_be_added_to():
    after = decode_snapshot(encode_snapshot(snapshot())).statistics
    assert (after + learnt()).examples == 100


def test_sums_by_item_come_back_to_the_bit_and_may_be_added_to():
    before = LEARNER.refold(seen(50))
    after = decode_snapshot(encode_snapshot(snapshot(before))).statistics
    assert after.items.item_ids == before.items.item_ids
    for name in ("precision", "weights", "seen_at"):
        assert_array_equal(getattr(after.items, name), getattr(before.items, name))
    for name, outcome in before.items.outcomes.items():
        assert_array_equal(after.items.outcomes[name].moments, outcome.moments)
        assert_array_equal(after.items.outcomes[name].energies, outcome.energies)
    assert (after + before).items.weights.sum() == pytest.approx(2 * before.items.weights.sum())


def test_older_versions_can_read_what_they_know_and_refuse_what_they_do_not():
    assert message().format == 1
    assert pb.ModelSnapshot.FromString(encode_snapshot(snapshot(LEARNER.refold(seen(5))))).format == 2


def test_items_that_are_named_without_any_are_none():
    changed = message()
    changed.items.SetInParent()
    assert decode_snapshot(changed.SerializeToString()).statistics.items.item_ids == ()


@pytest.mark.parametrize("change", ["repeat", "disorder", "weights", "dimensions", "moments"])
def test_refuses_items_that_do_not_fit_their_sums(change):
    changed = pb.ModelSnapshot.FromString(encode_snapshot(snapshot(LEARNER.refold(seen(50)))))
    items = changed.items
    if change == "repeat":
        items.item_ids[1] = items.item_ids[0]
    elif change == "disorder":
        items.item_ids[0] = "z"
    elif change == "weights":
        items.weights = items.weights[8:]
    elif change == "dimensions":
        items.dimensions += 1
    else:
        items.outcomes[0].moments = np.full(len(items.outcomes[0].moments) // 8, np.nan).tobytes()
    with pytest.raises(Corrupt):
        decode_snapshot(changed.SerializeToString())


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", encode_snapshot(snapshot())[:-20], b"\x00" * 40, b'{"a": [2.0, 1.0]}'],
    ids=["rubbish", "cut off", "zeros", "counts"],
)
def test_refuses_bytes_that_are_no_snapshot(body):
    with pytest.raises(Corrupt):
        decode_snapshot(body)


@pytest.mark.parametrize("dimensions", [0, 2, 4, 2**31])
def test_refuses_dimensions_that_its_sums_do_not_have(dimensions):
    changed = message()
    changed.dimensions = dimensions
    with pytest.raises(Corrupt, match="bytes where"):
        decode_snapshot(changed.SerializeToString())


def test_refuses_a_moment_of_another_length():
    changed = message()
    changed.outcomes[0].moment = bytes(16)
    with pytest.raises(Corrupt, match="holds 16 bytes where 24 belong"):
        decode_snapshot(changed.SerializeToString())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["precision", "moment", "energy", "weight", "published_at"])
def test_refuses_numbers_that_are_not_finite(place, number):
    changed = message()
    if place == "precision":
        changed.precision = np.array([number] * 6).tobytes()
    elif place == "moment":
        changed.outcomes[1].moment = np.array([0.0, number, 0.0]).tobytes()
    elif place == "energy":
        changed.outcomes[0].energy = number
    else:
        setattr(changed, place, number)
    with pytest.raises(Corrupt, match="not finite"):
        decode_snapshot(changed.SerializeToString())


def batch() -> Statistics:
    """Of a logistic model: a new example, a correction and a retraction."""
    rng, nothing = np.random.default_rng(1), math.nan
    contexts = rng.normal(size=(3, 2)).astype(np.float32)
    items = np.hstack([np.ones((3, 1)), rng.normal(size=(3, 1))]).astype(np.float32)
    after, before = np.array([1.0, 1.0, nothing]), np.array([nothing, 0.0, 1.0])
    return sums_of(Rows(contexts, items, rng.random(3), rng.random(3), after, before), 100.0)


def test_a_batch_of_examples_comes_back_to_the_bit():
    before = batch()
    after = decode_snapshot(encode_snapshot(snapshot(before))).statistics
    assert before.rows is not None
    assert after.rows is not None
    for name in ("contexts", "items", "weight", "at", "after", "before"):
        assert_array_equal(getattr(after.rows, name), getattr(before.rows, name))
    assert (after.is_logit, after.dimensions, after.examples, after.half_life_s) == (True, 6, 0, 100.0)
    assert not after.precision.any()
    assert (after + before).rows is not None


def test_an_older_version_reads_what_it_knows_and_refuses_a_logistic_model():
    logit = pb.ModelSnapshot.FromString(encode_snapshot(snapshot(replace(learnt(), is_logit=True))))
    assert (message().format, logit.format, logit.is_logit) == (1, 2, True)
    assert decode_snapshot(logit.SerializeToString()).statistics.is_logit
    logit.format = 3
    with pytest.raises(Corrupt, match="newer version"):
        decode_snapshot(logit.SerializeToString())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("items", b""),
        ("weight", bytes(7)),
        ("at", bytes(16)),
        ("context_width", 2**31),
        ("item_width", 0),
        ("before", np.array([math.nan, 0.0, 7.0]).tobytes()),
        ("after", np.full(3, math.nan).tobytes()),
        ("contexts", np.full(6, math.inf, dtype="<f4").tobytes()),
    ],
)
def test_refuses_examples_that_could_not_be_learnt(field, value):
    changed = pb.ModelSnapshot.FromString(encode_snapshot(snapshot(batch())))
    setattr(changed.rows, field, value)
    with pytest.raises(Corrupt, match="examples"):
        decode_snapshot(changed.SerializeToString())


def test_refuses_examples_of_other_dimensions_than_it_has():
    changed = pb.ModelSnapshot.FromString(encode_snapshot(snapshot(batch())))
    changed.dimensions = 2**31
    with pytest.raises(Corrupt, match="examples of 6"):
        decode_snapshot(changed.SerializeToString())


def test_names_of_models_and_versions():
    key = model_key("home", "abc")
    assert key == "home/abc"
    assert model_version(key, 0) == "home/abc@0"


def test_outcomes_are_written_in_one_order():
    sums = learnt()
    turned = Statistics(sums.precision, dict(reversed(sums.outcomes.items())), sums.weight, sums.examples)
    assert encode_snapshot(snapshot(turned)) == encode_snapshot(snapshot(sums))
    assert list(turned.outcomes) != list(sums.outcomes)
    assert isinstance(turned.outcomes["click"], Outcome)
