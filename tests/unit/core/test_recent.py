"""Recent: the mean of what a person clicked last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import InvalidFeature, InvalidInput
from omakase.core.features import Categorical, Embedding, FeatureSpec, Numeric, Recent
from omakase.core.recent import recent_facts

TASTE = Recent("taste", "style", 2, last=2)
SPEC = FeatureSpec((Numeric("price"), Embedding("style", 2, clip=10.0)), (TASTE, Categorical("device", ("ios",))))
STYLES = {"a": (1.0, 2.0), "b": (3.0, -4.0), "c": (5.0, 0.5), "far": (99.0, 0.0)}
PLAIN = Item("plain", {"price": 1.0})
CATALOGUE = Catalogue((PLAIN, *(Item(name, {"style": style}) for name, style in STYLES.items())))


def recent(*clicked: str, catalogue: Catalogue = CATALOGUE, spec: FeatureSpec = SPEC):
    factors, _ = spec.encode_items([item.metadata for item in catalogue])
    return recent_facts(spec, catalogue, factors, clicked)


def test_the_mean_is_of_the_last_clicks() -> None:
    assert recent("a", "b", "c") == {"taste": (4.0, -1.75)}
    assert recent("b") == {"taste": (3.0, -4.0)}
    assert recent("b", "b") == {"taste": (3.0, -4.0)}


def test_what_cannot_tell_gives_way_to_older_clicks() -> None:
    assert recent("a", "b", "gone", "plain") == {"taste": (2.0, -1.0)}
    unfit = Catalogue((*CATALOGUE, Item("unfit", {"style": (7.0, 7.0), "price": "dear"})))
    assert recent("a", "b", "unfit", catalogue=unfit) == {"taste": (2.0, -1.0)}
    silent = Catalogue((*CATALOGUE, Item("silent", {"style": (0.0, 0.0)})))
    assert recent("a", "b", "silent", catalogue=silent) == {"taste": (2.0, -1.0)}


@pytest.mark.parametrize("clicked", [(), ("gone",), ("plain", "gone")])
def test_who_clicked_nothing_that_tells_has_no_such_fact(clicked) -> None:
    assert recent(*clicked) == {}
    assert not SPEC.encode_context({}).any()


def test_what_was_sold_out_or_hidden_since_still_tells() -> None:
    items = [replace(item, in_stock=False, hidden=True) for item in CATALOGUE]
    assert recent("a", "b", catalogue=Catalogue(tuple(items))) == {"taste": (2.0, -1.0)}


def test_the_recorded_fact_encodes_again_to_the_same_bits() -> None:
    rng = np.random.default_rng(5)
    items = tuple(Item(f"i{n}", {"style": tuple(rng.normal(size=2).tolist())}) for n in range(7))
    facts = recent(*(item.item_id for item in items), catalogue=Catalogue(items))
    expected = np.mean([SPEC.encode_item(item.metadata)[2:] for item in items[-2:]], axis=0, dtype=np.float64)
    assert SPEC.encode_context(facts)[:2].tobytes() == expected.astype(np.float32).tobytes()


def test_components_are_those_of_the_item_and_then_clipped() -> None:
    assert recent("far") == {"taste": (10.0, 0.0)}
    assert SPEC.encode_context({"taste": (10.0, -7.0)})[:2].tolist() == [5.0, -5.0]


def test_a_model_that_asks_for_nothing_recent_gets_nothing() -> None:
    assert recent("a", spec=FeatureSpec(SPEC.item, SPEC.context[1:])) == {}


@pytest.mark.parametrize("value", ["red", 1.0, (1.0,), ("a", "b"), (1.0, float("nan"))])
def test_a_fact_that_is_no_such_vector_is_refused(value) -> None:
    with pytest.raises(InvalidFeature, match="'taste' must be a list of"):
        SPEC.encode_context({"taste": value})


@pytest.mark.parametrize(
    ("item", "context", "reason"),
    [
        (SPEC.item, (Recent("r", "stile", 2),), "context feature 'r': of: no item feature is named 'stile'"),
        (SPEC.item, (Recent("r", "price", 2),), "context feature 'r': of: price is of type numeric"),
        (SPEC.item, (Recent("r", "style", 3),), "context feature 'r': dimensions: 3 is not what style has, which is 2"),
        ((*SPEC.item, TASTE), (), "item feature 'taste': type: .*among the context features"),
    ],
)
def test_recent_of_what_is_not_there_is_refused(item, context, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        FeatureSpec(item, context)
