"""Whatever is written into a configuration or a key file: a result or an InvalidConfig that says where."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from omakase.config import Product, parse_product
from omakase.core.errors import InvalidConfig
from omakase.keys import load_keys

EXAMPLE = (Path(__file__).parents[2] / "examples/storefront.yaml").read_text()
# A smaller one, so that a mutation more often meets something that matters.
SMALL = yaml.safe_load("""
placements: {home: {slots: 3, rewards: {click: 1.0}, variants: {a: {share: 4000, policy: ts, model: m},
             b: {share: 6000, policy: chance}}, layer: top, holdout: a, shadows: {c: {share: 1, policy: chance}}}}
experiments: {e: {placements: [home], target: {country: [JP]}, ramp: [{at: "2026-12-01T09:00:00+09:00", share: 100}],
              variants: {d: {share: 500, policy: chance}}}}
holdout: {share: 200}
policies: {ts: {type: linear_ts, exploration: 0.3}, chance: {type: uniform}}
models: {m: {features: f}}
features: {f: {item: [{type: numeric, name: price}], context: [{type: categorical, name: device, vocabulary: [ios]}]}}
learning: {session_gap_s: 2.0}
""")
WORDS = ["type", "name", "share", "click", "linear_ts", "numeric", "no", "~", "m", "12:30", "010", ".nan", "1e999"]
SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(WORDS) | st.dates()
)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3), max_leaves=6
)
FAULT = re.compile(r"shop\.yaml:[0-9]+: .", re.DOTALL)


def check(text: str) -> None:
    lines = text.count("\n") + 2
    try:
        product = parse_product(text, "shop.yaml")
    except InvalidConfig as error:
        faults = error.faults
    else:
        assert isinstance(product, Product)
        return
    assert faults
    for fault in faults:
        assert FAULT.match(fault), fault
        assert 1 <= int(fault.split(":")[1]) <= lines


def mutate(data: st.DataObject, node: object) -> object:
    """Replace, drop or add one thing somewhere in the tree."""
    if not isinstance(node, (dict, list)) or not node or data.draw(st.integers(0, 4)) == 0:
        return data.draw(TREES)
    keys = list(node) if isinstance(node, dict) else list(range(len(node)))
    key = data.draw(st.sampled_from(keys))
    copy = node.copy()
    change = data.draw(st.sampled_from(["deeper", "deeper", "deeper", "drop", "add", "rename"]))
    if change == "deeper":
        copy[key] = mutate(data, node[key])
    elif change == "drop":
        del copy[key]
    elif isinstance(copy, dict):
        copy[data.draw(SCALARS)] = copy.pop(key) if change == "rename" else data.draw(TREES)
    else:
        copy.append(data.draw(TREES))
    return copy


@settings(max_examples=150)
@given(st.text() | st.text(alphabet="ab:- \n\t{}[],&*!|>'\"%@`#~0.\\xuU?=<"))
def test_arbitrary_text_is_refused_with_a_line(text: str) -> None:
    check(text)


@settings(max_examples=80)
@given(st.data())
def test_a_mutated_configuration_is_valid_or_refused_with_a_line(data: st.DataObject) -> None:
    tree: object = SMALL
    for _ in range(data.draw(st.integers(1, 3))):
        tree = mutate(data, tree)
    check(yaml.dump(tree, Dumper=yaml.SafeDumper, allow_unicode=data.draw(st.booleans())))


@settings(max_examples=15)
@given(st.integers(0, len(EXAMPLE)), st.integers(0, 200), st.text(max_size=5))
def test_a_torn_example_is_valid_or_refused_with_a_line(at: int, gone: int, instead: str) -> None:
    check(EXAMPLE[:at] + instead + EXAMPLE[at + gone :])


@settings(max_examples=60)
@given(st.data())
def test_a_mutated_key_file_is_valid_or_refused_without_showing_a_key(tmp_path_factory, data: st.DataObject) -> None:
    secret = "0123456789abcdef" * 4
    tree = mutate(data, {"signing_key": 1, "keys": {1: secret}, "pseudonym_key": secret})
    path = tmp_path_factory.mktemp("keys") / "keys.yaml"
    path.touch(mode=0o600)
    path.write_text(yaml.dump(tree, Dumper=yaml.SafeDumper))
    try:
        load_keys(path)
    except InvalidConfig as error:
        faults = error.faults
    else:
        return
    assert faults
    assert secret[:16] not in "".join(faults)
