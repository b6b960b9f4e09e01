"""From a query to a stamped slate: the hot path, free of I/O but for one look-up of stored context."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

import numpy as np

from omakase.core.beliefs import Scorer
from omakase.core.catalogue import Catalogue
from omakase.core.choices import Choice
from omakase.core.errors import Corrupt, InvalidFeature, InvalidInput, NotFound, Unavailable
from omakase.core.features import Factor
from omakase.core.ids import NOBODY, Keyring, Pseudonym, new_request_id
from omakase.core.policies import Policy, Source
from omakase.core.ranking import Ranking, rank
from omakase.core.recent import recent_facts
from omakase.core.slates import Ranked, Slate, stamp
from omakase.core.values import Facts
from omakase.ports.clock import Clock
from omakase.ports.context_store import ContextStore, Known
from recommender import metrics
from recommender.bundle import Bundle, ServedModel
from recommender.choosing import Chooser, by_position
from recommender.counting import Counted

log = logging.getLogger(__name__)

_NO_FACTOR: Factor = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Query:
    """What the gateway asks. `candidates` None means the whole catalogue, an empty list nothing.

    `experiment` to `trace` are only recorded; from a slate that is not to be `learnt` no model learns.
    """

    placement: str
    variant: str
    policy: str
    model: str
    unit: Pseudonym
    user: Pseudonym
    context: Facts
    limit: int
    exclude: Sequence[str]
    candidates: Sequence[str] | None
    personalise: bool
    filters: Facts = field(default_factory=dict)
    experiment: str = ""
    assigned_by: str = ""
    shadow: bool = False
    learnt: bool = True
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """What a slate was made of: all that explaining it, or counting how likely it was, asks for."""

    policy: Policy
    model: ServedModel | None
    scorer: Scorer | None
    catalogue: Catalogue
    context: Factor
    choice: Choice
    ranking: Ranking
    query: Query


@dataclass(frozen=True, slots=True)
class Answer:
    """A slate, the candidates that were left out as unknown, sold out, hidden or not fit, and how it was made."""

    slate: Slate
    ignored: list[str]
    made: Made


class Ranker:
    """Ranks for one process, from one stream of randomness.

    The context of a ranking is what the store knows of the user, over it what the items that they clicked last have in
    common, as far as the model's features ask for it, and the hour and weekday in the placement's time zone, over all
    of them what the request names: the request always wins, so that a replay can say when it was. Without consent to
    personalise it is the hour and weekday alone, and nothing else is looked up or recorded.
    """

    def __init__(
        self,
        keyring: Keyring,
        clock: Clock,
        contexts: ContextStore,
        rng: np.random.Generator,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keyring = keyring
        self._clock = clock
        self._contexts = contexts
        self._chooser = Chooser(keyring, rng)
        self._random_bytes = random_bytes
        self._is_store_away = False

    def answer(self, bundle: Bundle, query: Query) -> Answer:
        """Rank and stamp.

        Raises: InvalidInput for a limit or a context that does not fit; NotFound for a name the bundle lacks.
        """
        surface, policy = bundle.surface(query.placement), bundle.policy(query.policy)
        if not 1 <= query.limit <= surface.max_limit:
            raise InvalidInput(f"limit must be 1 to {surface.max_limit} at this placement")
        model, counted = _sources(bundle, query, policy)
        now = self._clock.now()
        facts, context_factor = self._context(query, model, now, surface.zone)
        items = bundle.plain if model is None else model.items
        eligible, ignored = items.catalogue.eligible(query.exclude, query.candidates, query.filters)
        scorer = _scorer(policy, model, counted)
        display, weights = bundle.display(query.placement), None if counted is None else counted.weights
        choice = self._chooser.choose(display, eligible, query.limit, weights, now)
        person = (query.unit or query.user) if query.personalise else NOBODY
        rng = self._chooser.randomness(display, person, query.policy, query.model, now)
        ranking = rank(policy, scorer, context_factor, choice, rng)
        self._chooser.delivered(display, ranking.indices, now)
        ranked = by_position(_ranked(ranking, bundle.catalogue, model), display)
        request_id = new_request_id(now, self._random_bytes)
        slate = Slate(
            request_id=request_id,
            served_at=now,
            placement=query.placement,
            variant=query.variant,
            policy=query.policy,
            model=model.key if model and query.learnt else "",
            model_version=_version(policy, model, counted),
            catalogue_generation=bundle.catalogue.generation,
            unit=query.unit,
            user=query.user,
            context=facts,
            context_factor=context_factor,
            deliveries=stamp(ranked, request_id, self._keyring),
            experiment=query.experiment,
            assigned_by=query.assigned_by,
            shadow=query.shadow,
            trace=query.trace,
        )
        made = Made(policy, model, scorer, items.catalogue, context_factor, choice, ranking, query)
        return Answer(slate, ignored, made)

    def _context(self, query: Query, model: ServedModel | None, now: float, zone: tzinfo) -> tuple[Facts, Factor]:
        local = datetime.fromtimestamp(now, zone)
        derived: Facts = {"hour": float(local.hour), "weekday": float(local.weekday())}
        if not query.personalise:
            return derived, _encode(model, derived)
        given: Facts = {**derived, **query.context}
        known = self._known(query.user)
        if known is None:
            return given, _encode(model, given)
        recent = {} if model is None else _recent(model, known)
        try:
            facts: Facts = {**known.facts, **recent, **given}
            return facts, _encode(model, facts)
        except InvalidFeature:
            facts = {**recent, **given}
            factor = _encode(model, facts)  # raises again if it is the caller who can mend it
            metrics.CONTEXTS_UNUSED.labels("misfit").inc()
            return facts, factor

    def _known(self, user: Pseudonym) -> Known | None:
        """A store that is away, or holds rubbish, costs what is known of the person, not the slate."""
        if not user:
            return None
        try:
            found = self._contexts.get(user)
        except (Unavailable, Corrupt) as error:
            metrics.CONTEXTS_UNUSED.labels("unreadable").inc()
            if not self._is_store_away:
                log.error("a stored context cannot be read, ranking without it: %s", error)
            self._is_store_away = True
            return None
        self._is_store_away = False
        return found


def _sources(bundle: Bundle, query: Query, policy: Policy) -> tuple[ServedModel | None, Counted | None]:
    """Raises: NotFound if the policy needs what is not there."""
    model = bundle.model(query.model) if query.model else None
    if model is None and policy.source is Source.MODEL:
        raise NotFound(f"policy {query.policy!r} ranks by a model and the variant {query.variant!r} names none")
    counted = bundle.counts.get((query.placement, query.policy))
    if counted is None and policy.source is Source.COUNTS:
        raise NotFound(f"policy {query.policy!r} ranks by counts, and has none of {query.placement!r} to use")
    return model, counted


def _scorer(policy: Policy, model: ServedModel | None, counted: Counted | None) -> Scorer | None:
    if policy.source is Source.COUNTS:
        return None if counted is None else counted.scorer
    return None if model is None else model.scorer


def _version(policy: Policy, model: ServedModel | None, counted: Counted | None) -> str:
    """Of the model, which learns from the slate; without one, of the counts that ranked it."""
    if model is not None:
        return model.version
    return counted.version if counted is not None and policy.source is Source.COUNTS else ""


def _recent(model: ServedModel, known: Known) -> Facts:
    items = model.items
    return recent_facts(model.spec, items.catalogue, items.factors, known.clicked)


def _encode(model: ServedModel | None, facts: Facts) -> Factor:
    return _NO_FACTOR if model is None else model.spec.encode_context(facts)


def _ranked(ranking: Ranking, catalogue: Catalogue, model: ServedModel | None) -> list[Ranked]:
    """Factors are copied out of the matrix, so that a record in flight does not keep a retired one alive."""
    predicted, propensity = ranking.predicted_click, ranking.propensity
    ranked = []
    for place, i in enumerate(ranking.indices.tolist()):
        item = catalogue.item(i)
        ranked.append(
            Ranked(
                item_id=item.item_id,
                score=float(ranking.scores[place]),
                item_factor=_NO_FACTOR if model is None else model.items.factors[i].copy(),
                metadata=item.metadata,
                predicted_click=None if predicted is None else float(predicted[place]),
                value=item.value,
                propensity=None if propensity is None else float(propensity[place]),
            )
        )
    return ranked
