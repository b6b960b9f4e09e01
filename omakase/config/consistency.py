"""What spans several fields: names that must exist elsewhere, sums, orders.

Checked on the document and not on a `Product`, so that these faults are found together with those of single fields:
a person mends a file once, not once per kind of fault. What is of the wrong shape is passed over here; the schema
complains of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from omakase.config import experiment_faults
from omakase.config.document import Fault, Node, shorten
from omakase.config.placements import Placement, Variant
from omakase.config.references import shown_at, unknown
from omakase.config.schema import (
    BUILT_IN_EVENT_TYPES,
    MAX_DIMENSIONS,
    MAX_ITEM_DIMENSIONS,
    EpsilonGreedyPolicy,
    Features,
    Learning,
    Model,
    PolicyConfig,
    Product,
)
from omakase.config.sections import Section
from omakase.core.allocation import BUCKETS
from omakase.core.events import CLICK, CONVERSION, EXCLUSION
from omakase.core.features import DERIVED
from omakase.core.features.checks import misfits_of
from omakase.core.policies import Source
from omakase.core.suggestion import suggest

# From which kinds of model the policies draw that draw from a posterior.
_DRAWN = {"linear_ts": ("linear", "per_item"), "logistic_ts": ("logistic",)}
_POLICY: TypeAdapter[PolicyConfig] = TypeAdapter(PolicyConfig)


def faults_of(root: Node) -> Iterator[Fault]:
    """Everything that does not fit together."""
    for name, placement in root.entries("placements").items():
        yield from _shares(placement)
        yield from _limits(placement)
        yield from _pins(placement)
        yield from _event_types(placement, root)
        yield from _conversions(name, placement, root)
        yield from _clicks_alone(name, placement, root)
        for owner in ("variants", "shadows"):
            for variant in placement.entries(owner).values():
                yield from _variant(variant, root)
    for experiment in root.entries("experiments").values():
        for variant in experiment.entries("variants").values():
            yield from _variant(variant, root)
    yield from experiment_faults.faults_of(root)
    for features in root.entries("features").values():
        yield from _repeated_features(features)
        yield from _derived(features)
        yield from _referring(features)
    for model in root.entries("models").values():
        yield from _model(model, root)
    for policy in root.entries("policies").values():
        yield from _exploration(policy)
    yield from _durations(root.find("learning"))
    yield from _own_words(root)


def _shares(placement: Node) -> Iterator[Fault]:
    shares = [variant.find("share") for variant in placement.entries("variants").values()]
    numbers = [share.plain for share in shares if share]
    if not shares or len(numbers) < len(shares) or not all(_is_whole(number) for number in numbers):
        return
    total = sum(number for number in numbers if isinstance(number, int))
    if total != BUCKETS:
        variants = placement.children["variants"]
        message = f"the shares sum to {total}; they must sum to {BUCKETS}, which is everybody"
        yield Fault(variants.line, variants.path, message)


def _limits(placement: Node) -> Iterator[Fault]:
    slots, most = _number(placement, Placement, "slots"), _number(placement, Placement, "max_limit")
    if slots is not None and most is not None and slots > most:
        line = (placement.find("slots") or placement.find("max_limit") or placement).line
        yield Fault(line, (*placement.path, "slots"), f"{slots:g} is more than max_limit, which is {most:g}")


def _pins(placement: Node) -> Iterator[Fault]:
    """A pin that no slate reaches, or that another one takes away, would be a silent nothing."""
    most = _number(placement, Placement, "max_limit")
    taken: dict[object, str] = {}
    for position, item in placement.entries("pinned").items():
        if most is not None and position.isascii() and position.isdecimal() and int(position) > most:
            yield Fault(item.line, item.path, f"no slate is so long: max_limit is {most:g}")
        if isinstance(item.plain, str) and item.plain in taken:
            yield Fault(item.line, item.path, f"{shorten(repr(item.plain))} is pinned to {taken[item.plain]} already")
        elif isinstance(item.plain, str):
            taken[item.plain] = position


def _event_types(placement: Node, root: Node) -> Iterator[Fault]:
    known = BUILT_IN_EVENT_TYPES | {kind.plain for kind in root.elements("event_types") if isinstance(kind.plain, str)}
    for kind, node in placement.entries("rewards").items():
        if kind not in known:
            yield Fault(node.line, node.path, f"unknown event type (event_types lists new ones){suggest(kind, known)}")


def _own_words(root: Node) -> Iterator[Fault]:
    for kind in root.elements("event_types"):
        if kind.plain == EXCLUSION:
            yield Fault(kind.line, kind.path, f"{EXCLUSION} is Omakase's own word: choose another name")


def _conversions(name: str, placement: Node, root: Node) -> Iterator[Fault]:
    """A weight that no model of the placement heeds would be a silent nothing."""
    weight = placement.find("rewards", CONVERSION)
    models = _models_at(name, root)
    if weight is None or not models or any(_plain(model, "conversions") is True for model in models):
        return
    message = "no model of this placement learns from conversions: set `conversions: true` on one, or leave this out"
    yield Fault(weight.line, weight.path, message)


def _clicks_alone(name: str, placement: Node, root: Node) -> Iterator[Fault]:
    """As above: a logistic model heeds none but clicks."""
    kinds = {model.text("type") for model in _models_at(name, root)}
    for event, weight in placement.entries("rewards").items():
        if kinds == {"logistic"} and event not in (CLICK, CONVERSION):
            message = "no model of this placement learns from it: logistic ones learn clicks alone"
            yield Fault(weight.line, weight.path, message)


def _models_at(placement: str, root: Node) -> list[Node]:
    """Those that learn there: nobody sees a shadow."""
    names = {variant.text("model") for _, variant in shown_at(placement, root)}
    return [model for name, model in root.entries("models").items() if name in names]


def _plain(owner: Node, key: str) -> object:
    found = owner.find(key)
    return found.plain if found else None


def _variant(variant: Node, root: Node) -> Iterator[Fault]:
    yield from unknown(variant, "policy", root.entries("policies"), "policies")
    yield from unknown(variant, "model", root.entries("models"), "models")
    recommenders = root.entries("recommenders") or Product.model_fields["recommenders"].default
    yield from unknown(variant, "recommender", recommenders, "recommenders")
    if variant.find("recommender") is None and Variant.model_fields["recommender"].default not in recommenders:
        yield Fault(variant.line, (*variant.path, "recommender"), f"is missing{suggest('main', recommenders)}")
    policy, model = variant.text("policy"), variant.find("model")
    definition = root.find("policies", policy) if policy else None
    if definition and _ranks_by_a_model(definition) and (model is None or model.plain is None):
        message = f"is missing: policy {policy} ranks by a model{suggest('', root.entries('models'))}"
        yield Fault(variant.line, (*variant.path, "model"), message)
    yield from _drawn(variant, root)


def _drawn(variant: Node, root: Node) -> Iterator[Fault]:
    """A policy that draws from a posterior knows how much of it to draw: that is another for each kind of model."""
    names = variant.text("policy"), variant.text("model")
    policy, model = (name and root.find(owner, name) for owner, name in zip(("policies", "models"), names, strict=True))
    takes = _DRAWN.get(policy.text("type") or "") if policy else None
    kind = model and (model.text("type") or Model.model_fields["type"].default)
    if takes and kind and kind not in takes:
        wanted = next((policy for policy, kinds in _DRAWN.items() if kind in kinds), "another policy")
        message = f"policy {names[0]} draws from a {' or '.join(takes)} model, and {names[1]} is {kind}: use {wanted}"
        yield Fault(variant.children["model"].line, (*variant.path, "model"), message)


def _ranks_by_a_model(policy: Node) -> bool:
    try:
        return _POLICY.validate_python(policy.plain).compile().source is Source.MODEL
    except ValidationError:
        return False


def _exploration(policy: Node) -> Iterator[Fault]:
    """ε falls to `min_epsilon`: from above, and only if something lets it fall."""
    least = policy.find("min_epsilon")
    if policy.text("type") != "epsilon_greedy" or least is None:
        return
    epsilon, lowest = (_number(policy, EpsilonGreedyPolicy, key) for key in ("epsilon", "min_epsilon"))
    if epsilon is not None and lowest is not None and lowest > epsilon:
        yield Fault(least.line, least.path, f"{lowest:g} is more than epsilon, which is {epsilon:g}")
    if policy.find("decay_examples") is None:
        yield Fault(least.line, least.path, "epsilon never falls: set decay_examples, or leave this out")


def _logistic(model: Node) -> Iterator[Fault]:
    if model.text("type") != "logistic":
        return
    noise, conversions = model.find("noise"), model.find("conversions")
    if noise is not None and noise.plain is not None:
        yield Fault(noise.line, noise.path, "a click's noise follows from its chance: leave it out of a logistic model")
    if conversions is not None and conversions.plain is True:
        message = "a logistic model learns clicks alone: use a linear one, or leave this out"
        yield Fault(conversions.line, conversions.path, message)


def _model(model: Node, root: Node) -> Iterator[Fault]:
    of_items = model.find("item_prior_precision")
    if of_items is not None and model.text("type") != "per_item":
        yield Fault(of_items.line, of_items.path, "only a model of type per_item has weights by item")
    yield from unknown(model, "features", root.entries("features"), "features")
    yield from _logistic(model)
    name = model.text("features")
    features = root.find("features", name) if name else None
    if features is None:
        return
    try:
        d = _dimensions(features)
    except ValidationError:
        return
    if d > MAX_DIMENSIONS:
        message = (
            f"{name} makes d = (1 + item) × (1 + context) = {d} dimensions, of which d² numbers are kept and "
            f"factored; at most {MAX_DIMENSIONS}: use fewer or narrower features"
        )
        yield Fault(model.children["features"].line, (*model.path, "features"), message)
    yield from _item_model(model, name, features)


def _item_model(model: Node, name: str | None, features: Node) -> Iterator[Fault]:
    if model.text("type") != "per_item":
        return
    q = 1 + sum(feature.compile().width for feature in Features.model_validate(features.plain).context)
    if q > MAX_ITEM_DIMENSIONS:
        message = (
            f"{name} makes q = 1 + context = {q} dimensions, of which a per-item model keeps q² numbers an item; "
            f"at most {MAX_ITEM_DIMENSIONS}: use fewer or narrower context features"
        )
        yield Fault(model.children["features"].line, (*model.path, "features"), message)


def _dimensions(features: Node) -> int:
    """d of a section. Raises: ValidationError if it is not one. Repeated names are another fault, and count here."""
    section = Features.model_validate(features.plain)
    item = sum(feature.compile().width for feature in section.item)
    return (1 + item) * (1 + sum(feature.compile().width for feature in section.context))


def _repeated_features(features: Node) -> Iterator[Fault]:
    for side in ("item", "context"):
        count: Counter[str] = Counter()
        for feature in features.elements(side):
            name = feature.text("name")
            if name is None:
                continue
            count[name] += 1
            if count[name] == 2:
                line = feature.children["name"].line
                message = f"{shorten(repr(name))} is named twice among the {side} features"
                yield Fault(line, (*feature.path, "name"), message)


def _referring(features: Node) -> Iterator[Fault]:
    """Features that are made of others: of which those must be there, and of the right kind."""
    try:
        section = Features.model_validate(features.plain)
    except ValidationError:
        return
    item, context = ([feature.compile() for feature in side] for side in (section.item, section.context))
    for misfit in misfits_of(item, context):
        feature = features.elements(misfit.side)[misfit.position]
        yield Fault(feature.children[misfit.field].line, (*feature.path, misfit.field), misfit.message)


def _derived(features: Node) -> Iterator[Fault]:
    """What is derived for every context is a number: a feature that takes words would refuse every request."""
    for feature in features.elements("context"):
        name, kind = feature.find("name"), feature.find("type")
        if name and kind and name.plain in DERIVED and kind.plain not in ("numeric", "cyclic"):
            message = f"{name.plain} is derived as a number: use type cyclic or numeric"
            yield Fault(kind.line, kind.path, message)


def _durations(learning: Node | None) -> Iterator[Fault]:
    if learning is None:
        return
    for shorter, longer in (("session_gap_s", "session_max_s"), ("session_max_s", "reward_window_s")):
        a, b = _number(learning, Learning, shorter), _number(learning, Learning, longer)
        if a is not None and b is not None and a > b:
            line = (learning.find(shorter) or learning.find(longer) or learning).line
            yield Fault(line, (*learning.path, shorter), f"{a:g} is longer than {longer}, which is {b:g}")


def _number(owner: Node, section: type[Section], key: str) -> float | None:
    """The number written, or the default; None if something else was written."""
    node = owner.find(key)
    value = node.plain if node else section.model_fields[key].default
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
