"""Features made of other features: what is wrong with them, each with its line."""

# ruff: noqa: E501  a fault is one line, and so is the case that expects it

from __future__ import annotations

import pytest

from omakase.config import parse_product
from omakase.core.errors import InvalidConfig
from omakase.core.features import Cross, Recent

VALID = """\
placements: {home: {variants: {all: {share: 10000, policy: thompson, model: main}}}}
policies: {thompson: {type: linear_ts}}
models: {main: {features: shop}}
features:
  shop:
    item:
      - {type: categorical, name: category, vocabulary: [shoes, bags]}
      - {type: numeric, name: price}
      - {type: embedding, name: style, dimensions: 3}
      - {type: cross, name: dear, of: [category, price], buckets: 4}
    context:
      - {type: hashed, name: city, buckets: 8}
      - {type: cyclic, name: hour, period: 24}
      - {type: cross, name: where, of: [city, device], buckets: 4}
      - {type: recent, name: taste, of: style, dimensions: 3, last: 7}
      - {type: categorical, name: device, vocabulary: [ios]}
"""


def test_what_was_written_is_compiled() -> None:
    product = parse_product(VALID)
    spec = product.feature_spec("main")
    assert spec.item[3] == Cross("dear", ("category", "price"), 4)
    assert spec.context[3] == Recent("taste", "style", 3, last=7, clip=5.0)
    assert (spec.item_width, spec.context_width) == (1 + 2 + 1 + 3 + 4, 8 + 2 + 4 + 3 + 1)
    assert product.remembers_clicks()
    assert not parse_product(
        VALID.replace("{type: recent, name: taste, of: style,", "{type: embedding, name: taste,").replace(
            ", last: 7", ""
        )
    ).remembers_clicks()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("[city, device]", "[city, devise]", "14: features.shop.context[2].of: no feature of the same side is named 'devise'; did you mean 'device'?"),
        ("[city, device]", "[city, category]", "14: features.shop.context[2].of: no feature of the same side is named 'category'"),
        ("[city, device]", "[city, hour]", "14: features.shop.context[2].of: hour is of type cyclic: only categorical, hashed and numeric features can be crossed"),
        ("[city, device]", "[city]", "14: features.shop.context[2].of: must name at least two features, each once"),
        ("[city, device]", "[city, city]", "14: features.shop.context[2].of: names 'city' more than once"),
        ("[city, device]", "[a, b, c, d, e]", "14: features.shop.context[2].of: must have at most 4 entries"),
        ("[category, price]", "[price, dear]", "10: features.shop.item[3].of: dear is of type cross"),
        ("of: style", "of: stile", "15: features.shop.context[3].of: no item feature is named 'stile'; did you mean 'style'?"),
        ("of: style", "of: price", "15: features.shop.context[3].of: price is of type numeric: recent takes an item feature of type embedding"),
        ("of: style, dimensions: 3", "of: style, dimensions: 2", "15: features.shop.context[3].dimensions: 2 is not what style has, which is 3"),
        ("last: 7", "last: 51", "15: features.shop.context[3].last: must be at most 50, not 51"),
        ("of: style, ", "", "15: features.shop.context[3].of: is missing"),
        ("name: where", "name: hour", "14: features.shop.context[2].type: hour is derived as a number"),
        ("      - {type: numeric, name: price}", "      - {type: recent, name: price, of: style, dimensions: 3}", "8: features.shop.item[1].type: recent tells of a person: put it among the context features"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_to_change(old: str, new: str, fault: str) -> None:
    assert VALID.count(old) == 1
    with pytest.raises(InvalidConfig) as refused:
        parse_product(VALID.replace(old, new), "shop.yaml")
    assert len([one for one in refused.value.faults if one.startswith(f"shop.yaml:{fault}")]) == 1, refused.value.faults
