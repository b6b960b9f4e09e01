"""`omakase experiments results`, over a real warehouse and ledger."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from omakase.adapters import open_model_store, open_warehouse
from omakase.allocations import Ledger
from omakase.config import load_product
from omakase.core.tables import hour_of

AT = 1_760_000_000.0
CONFIG = """
holdout: {share: 200}
placements:
  home: {variants: {plain: {share: 10000, policy: chance}}}
experiments:
  ranker:
    placements: [home]
    variants:
      control: {share: 500, policy: chance}
      treatment: {share: 500, policy: chance}
policies: {chance: {type: uniform}}
currency: EUR
"""


@pytest.fixture
def asked(deployment, tmp_path) -> tuple[object, ...]:
    """The command's arguments, where shares were dealt at AT."""
    config = tmp_path / "shop.yaml"
    config.write_text(CONFIG)
    Ledger(open_model_store(deployment.uris.models), load_product(config), lambda: AT).settle()
    return ("experiments", "results", "--data-dir", deployment.data_dir, "--config", config)


def serve(deployment, counts: dict[str, tuple[int, int]], at: float = AT + 60.0) -> None:
    """So many people of each variant saw an item, and so many of them clicked and bought it for 10."""
    slates, events, hour = [], [], hour_of(at)
    for variant, (people, clicks) in counts.items():
        for n in range(people):
            key = {"hour": hour, "request_id": f"{variant}{n}-{at}", "position": 1}
            why = {"placement": "home", "experiment": "ranker", "variant": variant, "assigned_by": "experiment"}
            slates.append({**key, **why, "unit": f"{variant}{n}", "served_at": at})
            for type_ in ("impression", *(("click", "conversion") if n < clicks else ())):
                event = {"type": type_, "event_id": "", "receipt_id": f"{type_}{variant}{n}", "received_at": at + 1.0}
                events.append({**key, **event, "value": 10.0 if type_ == "conversion" else None})
    warehouse = open_warehouse(deployment.uris.warehouse)
    warehouse.append("deliveries", f"at_{at:.0f}", slates)
    warehouse.append("events", f"at_{at:.0f}", events)


def test_results_are_printed_with_their_intervals_and_the_sample_ratio(omakase, deployment, asked):
    serve(deployment, {"control": (1000, 100), "treatment": (1010, 160)})
    said = omakase(*asked)
    assert said.code == 0, said.err
    assert "experiment ranker, since 2025-10-09 08:53 UTC" in said.out
    assert re.search(r"control +1,000 +10\.000% +10\.000% +1\.00 ", said.out)
    assert re.search(r"treatment +1,010 +15\.842% +15\.842% +1\.58 ", said.out)
    assert re.search(r"difference +\+58\.4% ", said.out)
    assert re.search(r"sample ratio: as dealt \(p = 0\.82\)", said.out)
    assert "placement home, held out of all experiments: nobody yet" in said.out


def test_a_sample_ratio_mismatch_is_exit_code_1_and_names_the_variant(omakase, deployment, asked):
    serve(deployment, {"control": (1000, 100), "treatment": (800, 90)})
    said = omakase(*asked, "--experiment", "ranker")
    assert said.code == 1
    assert re.search(
        r"sample ratio mismatch .*(control has 55\.56%|treatment has 44\.44%) of the people where 50", said.out
    )
    (found,) = omakase(*asked, "--experiment", "ranker", "--json").json()
    assert (found["sample_ratio"]["off"], found["sample_ratio"]["expected"]["control"]) == (True, 900)


def test_json_holds_every_number_and_sequential_intervals_are_wider(omakase, deployment, asked):
    serve(deployment, {"control": (1000, 100), "treatment": (1010, 160)})
    (once,) = omakase(*asked, "--experiment", "ranker", "--json").json()
    (always,) = omakase(*asked, "--experiment", "ranker", "--json", "--sequential").json()
    assert once["variants"]["control"]["people"] == 1000
    assert once["variants"]["treatment"]["metrics"]["cvr"]["value"] == 160 / 1010
    one, other = (found["variants"]["treatment"]["differences"]["ctr"] for found in (once, always))
    assert one["significant"]
    assert (
        other["relative"]["low"] < one["relative"]["low"] < 0.584 < one["relative"]["high"] < other["relative"]["high"]
    )


def test_what_was_before_the_shares_changed_counts_only_if_asked_for_and_then_it_says_so(omakase, deployment, asked):
    serve(deployment, {"control": (100, 10)}, at=AT - 7200.0)
    serve(deployment, {"control": (50, 5), "treatment": (50, 5)})
    (found,) = omakase(*asked, "--experiment", "ranker", "--json").json()
    assert (found["variants"]["control"]["people"], found["sample_ratio"]["off"]) == (50, False)
    since = datetime.fromtimestamp(AT - 10_000.0, UTC).isoformat()
    (found,) = omakase(*asked, "--experiment", "ranker", "--json", "--since", since).json()
    assert (found["variants"]["control"]["people"], found["sample_ratio"]["p_value"]) == (100, None)
    assert "shares changed at 2025-10-09 08:53 UTC" in omakase(*asked, "--since", since).out


def test_nobody_yet_and_no_money_yet_are_said_and_are_valid_json(omakase, deployment, asked):
    assert omakase(*asked).out.count("nobody yet") == 3
    serve(deployment, {"control": (50, 0), "treatment": (50, 0)})
    said = omakase(*asked)
    assert (said.code, "too few people" in said.out) == (0, True)
    found = omakase(*asked, "--json").json()[0]["variants"]["control"]
    assert found["metrics"]["value"] == {"value": 0.0, "low": 0.0, "high": None}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--experiment", "rankr"), "did you mean 'ranker'"),
        (("--placement", "hme"), "did you mean 'home'"),
        (("--since", "yesterday"), "--since 'yesterday' must be ISO 8601"),
    ],
)
def test_what_cannot_be_shown_is_said_in_words(omakase, asked, arguments, words):
    said = omakase(*asked, *arguments)
    assert (said.code, words in said.err) == (2, True)
