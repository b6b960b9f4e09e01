"""Where a request leads: a person's arm, its recommender, the experiment, and what an override changes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.recommenders import Recommender
from gateway.routing import Surface, Surfaces, SurfacesLoader, surfaces
from omakase.adapters.local.clock import MappedClock
from omakase.adapters.local.model_store import FileModelStore
from omakase.allocations import KEY, Allocations, settled
from omakase.config import Product, parse_product
from omakase.core.errors import Forbidden, NotFound, Unavailable
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.overrides import issue
from omakase.serving.refusals import Refusals

KEYRING = Keyring({1: bytes(range(32))}, 1, b"p" * 32)
NOW = 1_795_600_000.0
CONFIG = """\
placements:
  home:
    variants: {plain: {share: 5000, policy: chance}, calm: {share: 5000, policy: chance}}
    shadows: {ghost: {share: 10000, policy: thompson, model: main, recommender: next}}
  basket: {variants: {still: {share: 10000, policy: chance}}}
experiments:
  ranker:
    placements: [home]
    target: {country: JP}
    variants: {new: {share: 5000, policy: thompson, model: main, recommender: next}}
holdout: {share: 1000}
policies: {chance: {type: uniform}, thompson: {type: linear_ts}}
models: {main: {features: shop}}
features: {shop: {}}
recommenders: {main: {}, next: {}}
"""
PEOPLE = [KEYRING.pseudonym("anonymous", f"a{i}") for i in range(300)]


@pytest.fixture(scope="module")
def recommenders() -> dict[str, Recommender]:
    return {name: Recommender(name, "127.0.0.1:1", 0.1) for name in ("main", "next")}


@pytest.fixture(scope="module")
def product() -> Product:
    return parse_product(CONFIG)


@pytest.fixture(scope="module")
def home(product, recommenders) -> Surface:
    return Surfaces(product, recommenders, settled(Allocations(), product, NOW), KEYRING).named("home")


def someone(home: Surface, assigned_by: str) -> Pseudonym:
    return next(p for p in PEOPLE if home.assign(p, {"country": "JP"}, NOW).assigned_by == assigned_by)


def test_an_experiments_variant_leads_to_its_own_recommender_and_is_named(home, recommenders) -> None:
    assigned = home.assign(someone(home, "experiment"), {"country": "JP"}, NOW)
    assert (assigned.arm.variant, assigned.experiment, assigned.arm.model) == ("new", "ranker", "main")
    assert assigned.arm.recommender is recommenders["next"]
    assert assigned.is_learnt


def test_without_the_targeted_fact_a_person_sees_the_placements_own_variants(home, recommenders) -> None:
    assigned = home.assign(someone(home, "experiment"), {}, NOW)
    assert (assigned.experiment, assigned.assigned_by) == ("", "share")
    assert assigned.arm.recommender is recommenders["main"]


def test_who_is_held_out_sees_the_first_variant_unless_another_is_named(home) -> None:
    assert home.assign(someone(home, "holdout"), {}, NOW).arm.variant == "plain"


def test_shadows_lead_to_their_own_recommender_and_never_are_what_is_shown(home, recommenders, product) -> None:
    (shadow,) = home.shadows_of(PEOPLE[0])
    assert (shadow.variant, shadow.recommender) == ("ghost", recommenders["next"])
    assert "ghost" not in {home.assign(person, {"country": "JP"}, NOW).arm.variant for person in PEOPLE}
    basket = Surfaces(product, recommenders, settled(Allocations(), product, NOW), KEYRING).named("basket")
    assert basket.shadows_of(PEOPLE[0]) == ()


@pytest.mark.parametrize(("variant", "experiment"), [("new", "ranker"), ("calm", "")])
def test_an_override_shows_any_shown_variant_and_is_not_learnt_from(home, variant, experiment) -> None:
    override = issue(KEYRING, "home", variant, PEOPLE[0], int(NOW) + 60)
    assigned = home.assign(PEOPLE[0], {}, NOW, override)
    assert (assigned.arm.variant, assigned.experiment, assigned.assigned_by) == (variant, experiment, "override")
    assert not assigned.is_learnt


@pytest.mark.parametrize(
    ("variant", "person", "now"), [("new", 1, NOW), ("new", 0, NOW + 60), ("ghost", 0, NOW), ("gone", 0, NOW)]
)
def test_an_override_that_is_refused_is_logged_without_naming_the_person(
    home, caplog, monkeypatch, variant, person, now
) -> None:
    monkeypatch.setattr(surfaces, "_refusals", Refusals())  # which writes a line a second
    override = issue(KEYRING, "home", variant, PEOPLE[0], int(NOW) + 60)
    with pytest.raises(Forbidden):
        home.assign(PEOPLE[person], {}, now, override)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("refused (override): ")
    assert override not in line
    assert PEOPLE[person] not in line


def test_an_unknown_placement_is_not_found_and_not_repeated(product, recommenders) -> None:
    surfaces = Surfaces(product, recommenders, settled(Allocations(), product, NOW), KEYRING)
    with pytest.raises(NotFound, match=r"no such placement; did you mean 'home'\?") as raised:
        surfaces.named("hom")
    assert "hom'" not in str(raised.value)


def test_a_loader_settles_once_and_then_follows(product, recommenders, tmp_path: Path) -> None:
    store, clock = FileModelStore(tmp_path / "models"), MappedClock.create(tmp_path / "clock", NOW)
    load = SurfacesLoader(product, recommenders, KEYRING, store, clock)
    first = load(None)
    assert load(first) is first
    other = parse_product(CONFIG.replace("new: {share: 5000", "new: {share: 0"))
    SurfacesLoader(other, recommenders, KEYRING, store, clock)(None)
    followed = load(first)
    assert followed is not first
    person = someone(first.named("home"), "experiment")
    assert followed.named("home").assign(person, {"country": "JP"}, NOW).assigned_by == "share"
    assert store.generation(KEY) == 2


def test_nothing_is_served_before_the_ledger_is_read(product, recommenders, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("no directory")
    store, clock = FileModelStore(tmp_path / "models"), MappedClock.create(tmp_path / "clock", NOW)
    with pytest.raises(Unavailable):
        SurfacesLoader(product, recommenders, KEYRING, store, clock)(None)
