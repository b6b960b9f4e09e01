"""A catalogue that came from another by changes is the one that is made anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.core import catalogue as catalogues
from omakase.core import kinds, packed
from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import InvalidInput
from omakase.core.features import Categorical, Embedding, FeatureSpec, Numeric
from omakase.core.metadata import NONE
from recommender.item_matrix import ItemMatrix

FACTS = ("colour", "price", "tags", "style", "about")
SPEC = FeatureSpec((Categorical("colour", ("red", "blue")), Numeric("price"), Embedding("style", 2)))

numbers = st.sampled_from((0.0, 1.0, 2.5, 1e-3))
values = st.one_of(
    st.sampled_from(("red", "blue", "green", "x" * 300)),
    st.booleans(),
    numbers,
    st.lists(st.sampled_from(("red", "new", "")), max_size=3).map(tuple),
    st.lists(numbers, min_size=2, max_size=2).map(tuple),
    st.lists(numbers, min_size=17, max_size=18).map(tuple),
)
items = st.builds(
    Item,
    st.text("abcdef", min_size=1, max_size=2),
    st.dictionaries(st.sampled_from(FACTS), values, max_size=3),
    value=st.none() | numbers,
    in_stock=st.booleans(),
    hidden=st.booleans(),
    stock=st.none() | st.integers(0, 2),
)
changes = st.lists(st.lists(items, max_size=4), max_size=4)


@pytest.fixture(autouse=True)
def in_small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that few items fill several blocks, and few changes are several."""
    monkeypatch.setattr(packed, "_SIZE", 3)
    monkeypatch.setattr(packed, "_TOGETHER", 2)
    monkeypatch.setattr(catalogues, "_TOGETHER", 3)


@settings(max_examples=60)
@given(changes, st.lists(st.sampled_from(FACTS), max_size=2))
def test_is_in_all_that_can_be_asked_what_is_made_anew(steps: list[list[Item]], asked: list[str]) -> None:
    reached, there = Catalogue(), dict[str, Item]()
    for generation, step in enumerate(steps):
        there |= {item.item_id: item for item in step}
        for fact in asked:
            _outcome(reached, fact)
        before, told = reached, _told(reached)
        reached = reached.amended(step, generation)
        assert (len(reached), reached.generation) == (len(there), generation)
        _assert_equal(reached, Catalogue(there.values(), generation))
        assert _told(before) == told


@settings(max_examples=40)
@given(changes, st.lists(st.booleans(), min_size=4, max_size=4))
def test_a_matrix_that_follows_its_catalogue_is_the_one_that_is_encoded_anew(
    steps: list[list[Item]], looked_at: list[bool]
) -> None:
    catalogue = Catalogue()
    matrix = ItemMatrix.of(catalogue, SPEC)
    served = [(matrix, matrix.factors.copy())]
    for step, is_looked_at in zip(steps, looked_at, strict=False):
        catalogue = catalogue.amended(step, 1)
        if not is_looked_at:
            continue
        matrix = ItemMatrix.of(catalogue, SPEC, matrix)
        anew = ItemMatrix.of(Catalogue(catalogue, 1), SPEC)
        np.testing.assert_array_equal(matrix.factors, anew.factors)
        assert matrix.factors.flags.c_contiguous
        assert matrix.misfits == anew.misfits
        assert matrix.catalogue.available.tolist() == anew.catalogue.available.tolist()
        served.append((matrix, matrix.factors.copy()))
    for matrix, factors in served:  # who still reads an older one reads what it was
        np.testing.assert_array_equal(matrix.factors, factors)


@settings(max_examples=40)
@given(changes)
def test_knows_at_least_what_has_changed_since_any_step_and_nothing_of_strangers(steps: list[list[Item]]) -> None:
    line = [Catalogue()]
    for step in steps:
        line.append(line[-1].amended(step, 1))
    for older in line:
        found = line[-1].metadata.changed_since(older.metadata)
        assert found is not None
        same = set(range(len(line[-1]))) - set(found.tolist())
        assert all(i < len(older) and line[-1].metadata[i] == older.metadata[i] for i in same)
    sibling = line[0].amended([Item("sibling")], 1)
    assert line[-1].metadata.changed_since(sibling.metadata) is None


@settings(max_examples=40)
@given(changes, st.integers(1, 3))
def test_a_fact_of_too_many_values_is_refused_and_never_half_answered(steps: list[list[Item]], most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kinds, "MAX_KINDS", most)
        reached, there = Catalogue(), dict[str, Item]()
        for step in steps:
            there |= {item.item_id: item for item in step}
            reached = reached.amended(step, 1)
        anew = Catalogue(there.values(), 1)
        assert list(reached) == list(anew)
        for fact in FACTS:
            mine, expected = _outcome(reached, fact), _outcome(anew, fact)
            assert mine == expected or "too many" in str(mine)


def _assert_equal(reached: Catalogue, anew: Catalogue) -> None:
    assert repr(list(reached)) == repr(list(anew))
    assert list(reached.item_ids) == list(anew.item_ids)
    named = [*anew.item_ids, "nobody"]
    assert reached.places(named).tolist() == anew.places(named).tolist()
    assert reached.item_ids.continues(anew.item_ids)
    np.testing.assert_array_equal(reached.values, anew.values)
    assert _told(reached) == _told(anew)
    for fact in FACTS:
        assert _outcome(reached, fact) == _outcome(anew, fact)


def _told(catalogue: Catalogue) -> tuple[Any, ...]:
    hidden = {reason: mask.tolist() for reason, mask in catalogue.unavailable().items()}
    return len(catalogue), catalogue.stock.tolist(), catalogue.available.tolist(), hidden, repr(list(catalogue))


def _outcome(catalogue: Catalogue, fact: str) -> object:
    """What a fact tells of the items: the values behind the codes, and who passes each filter; or why it tells none."""
    try:
        codes, values = catalogue.codes(fact).tolist(), catalogue.metadata.values(fact)
        wanted = ("red", "new", "", True, 1.0, 0.0, ("red", "blue", "green"), (1.0, 2.5))
        passed = [catalogue.eligible((), None, {fact: value})[0].tolist() for value in wanted]
    except InvalidInput as error:
        return str(error)
    return repr([None if code == NONE else values[code] for code in codes]), passed
