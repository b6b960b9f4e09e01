"""A wrong configuration: every fault at once, each with its line and what to write instead."""

# ruff: noqa: E501  a fault is one line, and so is the case that expects it

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.config import load_product, parse_product
from omakase.core.errors import InvalidConfig

VALID = """\
placements:
  home:
    slots: 3
    max_limit: 20
    time_zone: Asia/Tokyo
    rewards: {click: 1.0, add_to_cart: 2}
    variants:
      control: {share: 4000, policy: chance}
      learnt: {share: 6000, policy: thompson, model: main, recommender: main}
policies:
  chance: {type: uniform}
  thompson: {type: linear_ts, exploration: 0.3}
models:
  main: {features: shop, prior_precision: 1}
features:
  shop:
    item:
      - {type: categorical, name: category, vocabulary: [shoes, bags]}
      - {type: numeric, name: price, mean: 80, scale: 40}
    context:
      - {type: hashed, name: city, buckets: 8}
      - {type: cyclic, name: hour, period: 24}
      - {type: embedding, name: taste, dimensions: 2}
recommenders:
  main: {timeout_s: 0.25}
learning: {session_gap_s: 600, session_max_s: 3600}
event_types: [add_to_cart]
"""


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        parse_product(text, "shop.yaml")
    return refused.value.faults


def changed(old: str, new: str) -> str:
    assert old in VALID
    return VALID.replace(old, new, 1)


def test_a_valid_configuration_is_what_was_written() -> None:
    product = parse_product(VALID)
    assert product.placements["home"].variants["learnt"].share == 6000
    assert product.feature_spec("main").dimensions == (1 + 3) * (1 + 12)
    assert product.known_event_types() == {"impression", "click", "conversion", "return", "add_to_cart"}
    assert product.reward_tables()["home"].weights == {"click": 1.0, "add_to_cart": 2.0}
    assert product.learning.rules().reward_window_s == 86_400.0


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        # Unknown keys, at every depth, and misspelt values.
        ("learning:", "lerning:", "26: lerning: unknown key; did you mean 'learning'?"),
        ("rewards:", "rewardz:", "6: placements.home.rewardz: unknown key; did you mean 'rewards'?"),
        ("share: 6000,", "share: 6000, polcy: x,", "9: placements.home.variants.learnt.polcy: unknown key; did you mean 'policy'?"),
        ("mean: 80", "maen: 80", "19: features.shop.item[1].maen: unknown key; did you mean 'mean'?"),
        ("mean: 80", "xyzzy: 80", "19: features.shop.item[1].xyzzy: unknown key; known: clip, mean, name, scale, type"),
        ("type: numeric", "type: nummeric", "19: features.shop.item[1].type: unknown type 'nummeric'; did you mean 'numeric'?"),
        ("type: numeric, ", "", "19: features.shop.item[1].type: is missing: it says which kind this is"),
        ("type: linear_ts", "type: linear-ts", "12: policies.thompson.type: unknown type 'linear-ts'; did you mean 'linear_ts'?"),
        ("Asia/Tokyo", "Asia/Tokio", "5: placements.home.time_zone: 'Asia/Tokio' is not an IANA time zone such as Asia/Tokyo; did you mean 'Asia/Tokyo'?"),
        ("Asia/Tokyo", "Asia", "5: placements.home.time_zone: 'Asia' is not an IANA time zone such as Asia/Tokyo"),
        # Values that do not fit.
        ("slots: 3", "slots: three", "3: placements.home.slots: must be a whole number, not three"),
        ("slots: 3", 'slots: "3"', "3: placements.home.slots: must be a whole number, not '3'"),
        ("slots: 3", "slots: true", "3: placements.home.slots: must be a whole number, not true"),
        ("slots: 3", "slots: 0", "3: placements.home.slots: must be at least 1, not 0"),
        ("slots: 3", "slots:", "3: placements.home.slots: must be a whole number"),
        ("scale: 40", "scale: 0", "19: features.shop.item[1].scale: must be greater than 0, not 0"),
        ("scale: 40", "scale: .inf", "19: features.shop.item[1].scale: .inf is not a finite number"),
        ("scale: 40", "scale: 1e999", "19: features.shop.item[1].scale: 1e999 is too large"),
        ("buckets: 8", "buckets: 010", "21: features.shop.context[0].buckets: 010 begins with 0: drop the 0 of a number, put a text in quotes"),
        ("click: 1.0", "click: 1e9", "6: placements.home.rewards.click: must be at most 1000000, not 1e9"),
        ("[shoes, bags]", "[shoes, 12]", "18: features.shop.item[0].vocabulary[1]: must be text: put it in quotes, as in '12'"),
        ("[shoes, bags]", "[shoes, true]", "18: features.shop.item[0].vocabulary[1]: must be text: put it in quotes, as in 'true'"),
        ("[shoes, bags]", "[shoes, shoes]", "18: features.shop.item[0].vocabulary: names 'shoes' more than once"),
        ("[shoes, bags]", "[]", "18: features.shop.item[0].vocabulary: must not be empty"),
        ("[shoes, bags]", "shoes", "18: features.shop.item[0].vocabulary: must be a list, not shoes"),
        ("name: price, ", "", "19: features.shop.item[1].name: is missing"),
        ("{timeout_s: 0.25}", "fast", "25: recommenders.main: must be a section of keys, not fast"),
        ("  home:", "  ho me:", "2: placements.'ho me': 'ho me' is not a name: use letters"),
        # What does not fit together.
        ("policy: thompson", "policy: thomson", "9: placements.home.variants.learnt.policy: nothing in policies is named 'thomson'; did you mean 'thompson'?"),
        ("model: main", "model: mian", "9: placements.home.variants.learnt.model: nothing in models is named 'mian'; did you mean 'main'?"),
        ("recommender: main", "recommender: xyzzy", "9: placements.home.variants.learnt.recommender: nothing in recommenders is named 'xyzzy'; known: main"),
        ("  main: {timeout_s", "  fast: {timeout_s", "8: placements.home.variants.control.recommender: is missing; known: fast"),
        (", model: main", "", "9: placements.home.variants.learnt.model: is missing: policy thompson ranks by a model; known: main"),
        ("model: main", "model: null", "9: placements.home.variants.learnt.model: is missing: policy thompson ranks by a model; known: main"),
        ("features: shop", "features: shopp", "14: models.main.features: nothing in features is named 'shopp'; did you mean 'shop'?"),
        ("share: 6000", "share: 5000", "7: placements.home.variants: the shares sum to 9000; they must sum to 10000, which is everybody"),
        ("slots: 3", "slots: 30", "3: placements.home.slots: 30 is more than max_limit, which is 20"),
        ("max_limit: 20", "max_limit: 2", "3: placements.home.slots: 3 is more than max_limit, which is 2"),
        ("max_limit: 20", "max_limit: 20\n    pinned: {21: a}", "5: placements.home.pinned.21: no slate is so long: max_limit is 20"),
        ("max_limit: 20", "max_limit: 20\n    pinned: {1: a, 2: a}", "5: placements.home.pinned.2: 'a' is pinned to 1 already"),
        ("max_limit: 20", "max_limit: 20\n    pinned: {0: a}", "5: placements.home.pinned.0: is no position: use 1 to 255"),
        ("max_limit: 20", "max_limit: 20\n    caps: {category: 0}", "5: placements.home.caps.category: must be at least 1, not 0"),
        ("max_limit: 20", "max_limit: 20\n    objective: revenu", "5: placements.home.objective: must be clicks or revenue, not revenu"),
        ("max_limit: 20", "max_limit: 20\n    combine_rewards: mean", "5: placements.home.combine_rewards: must be sum, max, first or last, not mean"),
        ("max_limit: 20", "max_limit: 20\n    exposure: {window_s: 60}", "5: placements.home.exposure.per_stock: is missing"),
        ("max_limit: 20", "max_limit: 20\n    examination: [0.9, 0.5]", "5: placements.home.examination: examination is relative to the first position: it must begin with 1"),
        ("max_limit: 20", "max_limit: 20\n    examination: estimate", "5: placements.home.examination: must be a list of numbers by position, such as [1, 0.7, 0.5], or the word estimated"),
        ("name: city", "name: weekday", "21: features.shop.context[0].type: weekday is derived as a number: use type cyclic or numeric"),
        ("name: price", "name: category", "19: features.shop.item[1].name: 'category' is named twice among the item features"),
        ("session_gap_s: 600", "session_gap_s: 3601", "26: learning.session_gap_s: 3601 is longer than session_max_s, which is 3600"),
        ("session_max_s: 3600", "session_max_s: 86401", "26: learning.session_max_s: 86401 is longer than reward_window_s, which is 86400"),
        ("buckets: 8", "buckets: 900", "14: models.main.features: shop makes d = (1 + item) × (1 + context) = 3620 dimensions"),
        ("click: 1.0", "clik: 1.0", "6: placements.home.rewards.clik: unknown event type (event_types lists new ones); did you mean 'click'?"),
        ("[add_to_cart]", "[add_to_cart, exclusion]", "27: event_types[1]: exclusion is Omakase's own word: choose another name"),
        ("type: linear_ts, exploration: 0.3", "type: epsilon_greedy, over: clicks", "12: policies.thompson.over: must be model or popularity, not clicks"),
        ("type: linear_ts, exploration: 0.3", "type: epsilon_greedy, decay_examples: 9, min_epsilon: 0.2", "12: policies.thompson.min_epsilon: 0.2 is more than epsilon, which is 0.1"),
        ("type: linear_ts, exploration: 0.3", "type: epsilon_greedy, min_epsilon: 0.02", "12: policies.thompson.min_epsilon: epsilon never falls: set decay_examples, or leave this out"),
        ("chance: {type: uniform}", "chance: {type: epsilon_greedy}", "8: placements.home.variants.control.model: is missing: policy chance ranks by a model; known: main"),
        # What YAML would let pass.
        ("slots: 3", "slots: 3\n    slots: 4", "4: placements.home.slots: is given twice, first in line 3"),
        ("slots: 3", "? [a]\n    : 1", "3: placements.home: a key must be a word"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_to_change(old: str, new: str, fault: str) -> None:
    found = faults(changed(old, new))
    assert len([one for one in found if one.startswith(f"shop.yaml:{fault}")]) == 1, found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "null",
        "placements: {}",
        "placements: {home: {variants: {}}}\npolicies: {chance: {type: uniform}}",
    ],
)
def test_an_empty_experiment_is_refused(text: str) -> None:
    assert any("empty" in fault for fault in faults(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [1, 2", "1: not YAML"),
        ("a: b: c", "1: not YAML"),
        ("a: &x 1\nb: *x", "1: not YAML: anchors"),
        ("a: !!python/object/apply:os.system [ls]", "1: not YAML: tags"),
        ("a: 1\n---\nb: 2", "2: not YAML"),
        ("a: \x07", "1: not YAML: a character is not allowed"),
        ('a: "\\UFFFFFFFF"', "1: not YAML"),
        ("[" * 50_000, "1: not YAML: nested more than 20 deep"),
        ("a: 1\n" * 200_001, "1: the file has 1000005 characters; at most 1000000 are read"),
        ("- 1", "1: must be a section of keys"),
    ],
)
def test_what_is_no_configuration_at_all_is_refused(text: str, words: str) -> None:
    assert faults(text)[0].startswith(f"shop.yaml:{words}")


def test_a_file_that_would_expand_is_refused_before_it_does() -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60))
    assert "anchors" in faults(bomb)[0]


def test_every_fault_is_found_at_once() -> None:
    text = changed("slots: 3", "slotz: 3").replace("share: 6000", "share: 1").replace("period: 24", "period: -1")
    found = faults(text.replace("policy: chance", "policy: dance"))
    assert [fault.split(":")[1] for fault in found] == ["3", "7", "8", "22"]


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "12:30", "2026-11-01", "1_000", "0x1F", "NO"])
def test_a_word_without_quotes_is_the_text_it_looks_like(word: str) -> None:
    product = parse_product(changed("[shoes, bags]", f"[shoes, {word}]"))
    assert product.features["shop"].item[0].vocabulary == ["shoes", word]  # type: ignore[union-attr]


def test_a_name_may_look_like_a_number() -> None:
    text = VALID.replace("learnt:", "2026:")
    assert parse_product(text).placements["home"].variants["2026"].share == 6000


def test_a_uniform_variant_may_feed_a_model() -> None:
    assert parse_product(changed("policy: chance}", "policy: chance, model: main}"))


@pytest.mark.parametrize("policy", ["beta_ts", "popularity", "epsilon_greedy, over: popularity"])
def test_a_policy_that_ranks_by_counts_needs_no_model_and_may_feed_one(policy: str) -> None:
    text = changed("chance: {type: uniform}", f"chance: {{type: {policy}}}")
    assert parse_product(text)
    assert parse_product(text.replace("policy: chance}", "policy: chance, model: main}"))


def test_a_file_names_itself_in_its_faults(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + VALID.encode())
    assert load_product(path) == parse_product(VALID)
    path.write_text("placements: 1\n")
    with pytest.raises(InvalidConfig, match=rf"^{path}:1: placements: must be a section of keys, not 1"):
        load_product(path)


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nb: \xe9\n")
    for name, words in (("none.yaml", "No such file"), ("", "Is a directory"), ("latin.yaml", ":2: is not UTF-8 text")):
        with pytest.raises(InvalidConfig, match=words):
            load_product(tmp_path / name)
