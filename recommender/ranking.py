"""From a query to a stamped slate: the hot path, free of I/O."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from omakase.core.beliefs import Scorer
from omakase.core.catalogue import NOTHING, Catalogue
from omakase.core.choices import Choice
from omakase.core.errors import InvalidInput, NotFound, OmakaseError
from omakase.core.features import Factor
from omakase.core.ids import NOBODY, Keyring, Pseudonym, new_request_id
from omakase.core.policies import Policy, Source
from omakase.core.ranking import Ranking, can_rank_each, rank, rank_each
from omakase.core.slates import Slate, Stamped, stamp
from omakase.core.values import Facts
from omakase.ports.clock import Clock
from recommender.bundle import Bundle, ServedModel
from recommender.choosing import Chooser
from recommender.contexts import STRANGERS, Acquaintance, context_of
from recommender.counting import Counted
from recommender.displays import Display
from recommender.item_matrix import ItemMatrix

log = logging.getLogger(__name__)


# What every request makes is a Struct here: a frozen dataclass of as many fields takes ten times as long to make.
class Query(Struct, frozen=True):
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
    filters: Facts = NOTHING
    experiment: str = ""
    assigned_by: str = ""
    shadow: bool = False
    learnt: bool = True
    trace: str = ""


class Made(Struct, frozen=True):
    """What a slate was made of: all that explaining it, or counting how likely it was, asks for."""

    policy: Policy
    model: ServedModel | None
    scorer: Scorer | None
    catalogue: Catalogue
    context: Factor
    choice: Choice
    ranking: Ranking
    query: Query


class Answer(Struct, frozen=True):
    """A slate and its rows; candidates that were left out as unknown, sold out, hidden or unfit; how it was made."""

    slate: Slate
    stamped: Stamped
    ignored: list[str]
    made: Made


class Prepared(Struct, frozen=True):
    """A query with all that its ranking asks for, found in one bundle."""

    query: Query
    bundle: Bundle
    policy: Policy
    model: ServedModel | None
    counted: Counted | None
    scorer: Scorer | None
    items: ItemMatrix
    display: Display
    facts: Facts
    context: Factor
    choice: Choice
    ignored: list[str]
    rng: np.random.Generator
    now: float

    @property
    def goes_together(self) -> bool:
        """Whether it may be drawn in one with others of its group, after them or before."""
        return self.display.limits is None and can_rank_each(self.policy, self.scorer, self.choice)

    @property
    def group(self) -> tuple[int, ...]:
        """Equal for those that are drawn from the same, in one bundle."""
        return id(self.policy), id(self.scorer), id(self.choice.values)

    def rank(self) -> Ranking:
        return rank(self.policy, self.scorer, self.context, self.choice, self.rng)


class Ranker:
    """Ranks for one process, from one stream of randomness."""

    def __init__(
        self,
        keyring: Keyring,
        clock: Clock,
        rng: np.random.Generator,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._keyring = keyring
        self._clock = clock
        self._rng = rng
        self._chooser = Chooser(keyring, rng)
        self._random_bytes = random_bytes

    def answer(self, bundle: Bundle, query: Query, known: Acquaintance = STRANGERS) -> Answer:
        """Rank and stamp. `known` of people is used where the query allows it.

        Raises: InvalidInput for a limit or a context that does not fit; NotFound for a name the bundle lacks.
        """
        prepared = self._prepare(bundle, query, known)
        return self._finish(prepared, prepared.rank())

    def answer_all(
        self, bundle: Bundle, queries: Sequence[Query], known: Acquaintance = STRANGERS
    ) -> list[Answer | OmakaseError]:
        """As `answer`, for each query its answer or what it raises; drawn together where that is the same.

        Cost: with many of one model and policy, one product over the items for all of them.
        """
        answers: dict[int, Answer | OmakaseError] = {}
        groups: dict[tuple[int, ...], list[tuple[int, Prepared]]] = {}
        for number, query in enumerate(queries):
            try:
                prepared = self._prepare(bundle, query, known)
                if prepared.goes_together and prepared.rng is self._rng:
                    groups.setdefault(prepared.group, []).append((number, prepared))
                else:  # at once: what it takes of an item's share may be missing for the next
                    answers[number] = self._finish(prepared, prepared.rank())
            except Exception as error:
                answers[number] = _failure(error)
        for group in groups.values():
            numbers, members = zip(*group, strict=True)
            try:
                ranked = zip(members, _rank_group(members, self._rng), strict=True)
                answers.update(zip(numbers, [self._finish(*one) for one in ranked], strict=True))
            except Exception as error:
                answers.update(dict.fromkeys(numbers, _failure(error)))
        return [answers[number] for number in range(len(queries))]

    def _prepare(self, bundle: Bundle, query: Query, known: Acquaintance) -> Prepared:
        surface, policy = bundle.surface(query.placement), bundle.policy(query.policy)
        if not 1 <= query.limit <= surface.max_limit:
            raise InvalidInput(f"limit must be 1 to {surface.max_limit} at this placement")
        model, counted = _sources(bundle, query, policy)
        now = self._clock.now()
        given = query.context if query.personalise else None
        facts, context = context_of(known.get(query.user), given, model, now, surface.zone)
        items = bundle.plain if model is None else model.items
        eligible, ignored = items.catalogue.eligible(query.exclude, query.candidates, query.filters)
        display, weights = bundle.display(query.placement), None if counted is None else counted.weights
        choice = self._chooser.choose(display, eligible, query.limit, weights, now)
        person = (query.unit or query.user) if query.personalise else NOBODY
        rng = self._chooser.randomness(display, person, query.policy, query.model, now)
        scorer = _scorer(policy, model, counted)
        return Prepared(
            query, bundle, policy, model, counted, scorer, items, display, facts, context, choice, ignored, rng, now
        )

    def _finish(self, prepared: Prepared, ranking: Ranking) -> Answer:
        query, model, policy, items = prepared.query, prepared.model, prepared.policy, prepared.items
        if not query.shadow:
            self._chooser.delivered(prepared.display, ranking.indices, prepared.now)
        request_id = new_request_id(prepared.now, self._random_bytes)
        stamped = stamp(
            items.show(ranking.indices),
            request_id,
            self._keyring,
            ranking.scores,
            ranking.predicted_click,
            ranking.propensity,
            prepared.display.examination,
        )
        slate = Slate(
            request_id=request_id,
            served_at=prepared.now,
            placement=query.placement,
            variant=query.variant,
            policy=query.policy,
            model=model.key if model and query.learnt else "",
            model_version=_version(policy, model, prepared.counted),
            catalogue_generation=prepared.bundle.catalogue.generation,
            unit=query.unit,
            user=query.user,
            context=prepared.facts,
            context_factor=prepared.context,
            deliveries=stamped,
            experiment=query.experiment,
            assigned_by=query.assigned_by,
            shadow=query.shadow,
            trace=query.trace,
        )
        made = Made(policy, model, prepared.scorer, items.catalogue, prepared.context, prepared.choice, ranking, query)
        return Answer(slate, stamped, prepared.ignored, made)


def _failure(error: Exception) -> OmakaseError:
    """A bug that one request meets is not to take the others of its batch with it."""
    if isinstance(error, OmakaseError):
        return error
    log.error("a request could not be ranked", exc_info=error)
    return OmakaseError("the request could not be ranked; see the recommender's log")


def _rank_group(group: Sequence[Prepared], rng: np.random.Generator) -> Sequence[Ranking]:
    first = group[0]
    if len(group) == 1:
        return [first.rank()]
    contexts = np.stack([prepared.context for prepared in group])
    return rank_each(first.policy, first.scorer, contexts, [prepared.choice for prepared in group], rng)


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
