"""From a request to its answer: who, which arm, which recommender; and if that fails, the fallback."""

from __future__ import annotations

import time
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from gateway import metrics
from gateway.answers import Page, Recommendation, answered, fallen_back
from gateway.api import MAX_EXCLUDED, PageRequest, RecommendationRequest
from gateway.cursors import new_cursor, shown_before
from gateway.fallback import Fallback, Wanted
from gateway.notable import Notable, tell_span
from gateway.recommenders import Away
from gateway.routing import Arm, Assigned, Surface, Surfaces
from gateway.shadows import Shadows
from omakase.core.errors import InvalidInput, NotFound, Refused, Unavailable
from omakase.core.ids import NOBODY, Keyring, Pseudonym
from omakase.core.overrides import placement_of
from omakase.core.values import Facts
from omakase.ports.clock import Clock
from omakase.serving import tracing
from omakase.serving.refresher import Refresher
from omakase.v1 import recommender_pb2 as pb
from omakase.wire import encode_facts


class Terms(Struct, frozen=True):
    """What came beside the body of a request. `override`: see `Surface.assign`; `timeout_s`: see `Recommender.ask`."""

    explain: bool = False
    override: str | None = None
    timeout_s: float | None = None


class Asked(Struct, frozen=True):
    """A request that fits, and where it leads. `unit` and `user` are no more of a person than consent covers, unlike
    `person`, which stays here.

    `shadows` are ranked besides, for nobody to see.
    """

    request: RecommendationRequest
    surface: Surface
    assigned: Assigned
    shadows: tuple[Arm, ...]
    person: Pseudonym
    unit: Pseudonym
    user: Pseudonym
    limit: int
    shown: list[str]
    terms: Terms

    @property
    def arm(self) -> Arm:
        return self.assigned.arm

    @property
    def exclude(self) -> list[str]:
        """What the caller named, and what earlier parts of this slate showed."""
        return [*self.request.exclude, *self.shown] if self.shown else self.request.exclude

    @property
    def context(self) -> Facts:
        return self.request.context if self.request.consent.personalise else {}


NO_TERMS = Terms()


class Gateway:
    """Always answers: with the recommender's slate, else with a fallback slate counted to the same variant.

    Behind it people have pseudonyms only, and no more of them than their consent covers: the unit goes along only if
    it may be measured, the user only if something may be done with it. The variant is sticky either way.
    """

    def __init__(
        self,
        surfaces: Refresher[Surfaces],
        fallback: Fallback,
        keyring: Keyring,
        clock: Clock,
        slow_s: float = 0.5,
    ) -> None:
        """What takes longer than `slow_s` gets a line in the log."""
        self._surfaces = surfaces
        self._fallback = fallback
        self._keyring = keyring
        self._clock = clock
        self._shadows = Shadows()
        self._notable = Notable(slow_s)

    async def page(self, page: PageRequest, terms: Terms) -> Page:
        """One slate after the other, none with what is above it. Nothing is served unless all of them fit.

        An override is for one placement of the page. Raises: as `recommend`.
        """
        requests = list(page.requests())
        for number, request in enumerate(requests):
            try:
                self._current().named(request.placement).check(request)
            except InvalidInput as error:
                kind = NotFound if isinstance(error, NotFound) else InvalidInput
                raise kind(f"slates.{number}: {error}") from error
        self._check_override(requests, terms)
        slates: list[Recommendation] = []
        for request in requests:
            above = [item.item_id for slate in slates for item in slate.items]
            asked = request.model_copy(update={"exclude": [*request.exclude, *above]})
            slates.append(await self.recommend(asked, _at(request.placement, terms)))
        return Page(slates)

    async def recommend(self, request: RecommendationRequest, terms: Terms = NO_TERMS) -> Recommendation:
        """Raises: NotFound for the placement; InvalidInput; Forbidden; Unavailable only before the first catalogue and
        the first allocations.
        """
        started = time.perf_counter()
        placement = variant = ""
        try:
            surface = self._current().named(request.placement)
            placement = surface.name
            asked = self._asked(request, surface, terms)
            variant = asked.arm.variant
            answer, reason = await self._answer(asked)
            if request.cursor is not None:
                answer = self._continued(asked, answer)
        except (InvalidInput, Refused, Unavailable) as error:
            metrics.count(placement, variant, "", _status(error), "")
            raise
        metrics.count(placement, variant, answer.policy, "200", reason)
        took_s = time.perf_counter() - started
        metrics.latency(placement, variant, reason).observe(took_s)
        self._notable.see(answer, reason, took_s)
        return answer

    def _check_override(self, requests: Sequence[RecommendationRequest], terms: Terms) -> None:
        """Before anything is recorded. Raises: Forbidden unless it holds where it is for, which is on the page."""
        if terms.override is None:
            return
        named = [request for request in requests if request.placement == placement_of(terms.override)]
        for request in named or requests[:1]:
            unit, _ = self._pseudonyms(request)
            self._current().named(request.placement).assign(unit, {}, self._clock.now(), terms.override)

    def _current(self) -> Surfaces:
        surfaces = self._surfaces.current
        if surfaces is None:
            raise Unavailable("starting: it is not known yet who is in which experiment")
        return surfaces

    def _asked(self, request: RecommendationRequest, surface: Surface, terms: Terms) -> Asked:
        limit = surface.check(request)
        unit, user = self._pseudonyms(request)
        consent = request.consent
        context = request.context if consent.personalise else {}
        assigned = surface.assign(unit, context, self._clock.now(), terms.override)
        shown = shown_before(self._keyring, surface.name, unit, request.cursor) if request.cursor else []
        return Asked(
            request,
            surface,
            assigned,
            surface.shadows_of(unit) if assigned.is_learnt else (),
            unit,
            unit if consent.measure else NOBODY,
            user if consent.measure or consent.personalise else NOBODY,
            limit,
            shown,
            terms,
        )

    def _continued(self, asked: Asked, answer: Recommendation) -> Recommendation:
        """With a cursor, unless there is no more, or more was shown than may be excluded."""
        shown = [*asked.shown, *(item.item_id for item in answer.items)]
        is_over = len(answer.items) < asked.limit or len(shown) > MAX_EXCLUDED
        cursor = None if is_over else new_cursor(self._keyring, asked.surface.name, asked.person, shown)
        return replace(answer, cursor=cursor)

    async def _answer(self, asked: Asked) -> tuple[Recommendation, str]:
        """The answer, and why it is a fallback; empty if it is none."""
        with tracing.span("recommend") as span:
            query = _query(asked, span.traceparent)
            try:
                reply = await asked.arm.recommender.ask(query, asked.terms.timeout_s)
            except Away as away:
                slate, ignored = self._fallback.slate(_wanted(asked, span.traceparent))
                answer, reason = fallen_back(slate, ignored), away.reason
            else:
                answer, reason = answered(asked.surface.name, asked.arm, reply), ""
            tell_span(span, answer, reason)
        if asked.shadows:
            self._shadows.cast(query, asked.shadows)
        return answer, reason

    def _pseudonyms(self, request: RecommendationRequest) -> tuple[Pseudonym, Pseudonym]:
        """The unit of the experiment, and the user; NOBODY if nobody is logged in."""
        user = self._keyring.pseudonym("user", request.user_id) if request.user_id is not None else NOBODY
        if request.anonymous_id is not None:
            return self._keyring.pseudonym("anonymous", request.anonymous_id), user
        return user, user


def _at(placement: str, terms: Terms) -> Terms:
    """What holds for one slate of a page."""
    if terms.override is None or placement_of(terms.override) == placement:
        return terms
    return replace(terms, override=None)


def _status(error: InvalidInput | Refused | Unavailable) -> str:
    if isinstance(error, NotFound):
        return "404"
    if isinstance(error, Refused):
        return "403"
    return "422" if isinstance(error, InvalidInput) else "503"


def _query(asked: Asked, trace: str) -> pb.RecommendRequest:
    request, arm = asked.request, asked.arm
    query = pb.RecommendRequest(
        placement=asked.surface.name,
        variant=arm.variant,
        policy=arm.policy,
        model=arm.model,
        unit=asked.unit,
        user=asked.user,
        limit=asked.limit,
        exclude=asked.exclude,
        candidates=request.candidates,
        restricted=request.candidates is not None,
        personalise=request.consent.personalise,
        measure=request.consent.measure,
        explain=asked.terms.explain,
        experiment=asked.assigned.experiment,
        assigned_by=asked.assigned.assigned_by,
        unlearnt=not asked.assigned.is_learnt,
        trace=trace,
    )
    encode_facts(asked.context, query.context)
    encode_facts(request.filter, query.filter)
    return query


def _wanted(asked: Asked, trace: str) -> Wanted:
    request = asked.request
    return Wanted(
        placement=asked.surface.name,
        variant=asked.arm.variant,
        experiment=asked.assigned.experiment,
        assigned_by=asked.assigned.assigned_by,
        unit=asked.unit,
        user=asked.user,
        context=asked.context,
        limit=asked.limit,
        exclude=asked.exclude,
        candidates=request.candidates,
        filters=request.filter,
        measure=request.consent.measure,
        trace=trace,
    )
