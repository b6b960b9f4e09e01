"""A model's snapshot as bytes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from omakase.core.errors import Corrupt
from omakase.core.posterior import Outcome, Statistics
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot, model_key, model_version
from omakase.v1 import model_pb2 as pb


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


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", encode_snapshot(snapshot())[:-20], b"\x00" * 40, b'["a", "b"]'],
    ids=["rubbish", "cut off", "zeros", "a popularity list"],
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
