"""From a request to its answer: who, which arm, which recommender; and if that fails, the fallback."""

from __future__ import annotations

import time

from gateway import metrics
from gateway.answers import answered, fallen_back
from gateway.api import RecommendationRequest, RecommendationResponse
from gateway.fallback import Fallback, Wanted
from gateway.recommenders import Away
from gateway.surfaces import Arm, Surface, Surfaces
from omakase.core.errors import InvalidInput, NotFound, Unavailable
from omakase.core.ids import NOBODY, Keyring, Pseudonym
from omakase.v1 import recommender_pb2 as pb
from omakase.wire import encode_facts


class Gateway:
    """Always answers: with the recommender's slate, else with a fallback slate counted to the same variant.

    Behind it people have pseudonyms only, and no more of them than their consent covers: the unit goes along only if
    it may be measured, the user only if something may be done with it. The variant is sticky either way.
    """

    def __init__(self, surfaces: Surfaces, fallback: Fallback, keyring: Keyring) -> None:
        self._surfaces = surfaces
        self._fallback = fallback
        self._keyring = keyring

    async def recommend(self, request: RecommendationRequest, *, explain: bool = False) -> RecommendationResponse:
        """Raises: NotFound for the placement; InvalidInput; Unavailable only before the first catalogue."""
        started = time.perf_counter()
        try:
            surface = self._surfaces.named(request.placement)
        except NotFound:
            metrics.REQUESTS.labels("", "", "", "404", "").inc()
            raise
        arm: Arm | None = None
        try:
            limit = surface.check(request)
            unit, user = self._pseudonyms(request)
            arm = surface.arm_of(unit)
            answer, reason = await self._answer(request, surface, arm, unit, user, limit, explain)
        except (InvalidInput, Unavailable) as error:
            status = "422" if isinstance(error, InvalidInput) else "503"
            metrics.REQUESTS.labels(surface.name, arm.variant if arm else "", "", status, "").inc()
            raise
        metrics.REQUESTS.labels(surface.name, arm.variant, answer.policy, "200", reason).inc()
        metrics.LATENCY_S.labels(surface.name).observe(time.perf_counter() - started)
        return answer

    async def _answer(
        self,
        request: RecommendationRequest,
        surface: Surface,
        arm: Arm,
        unit: Pseudonym,
        user: Pseudonym,
        limit: int,
        explain: bool,
    ) -> tuple[RecommendationResponse, str]:
        """The answer, and why it is a fallback; empty if it is none."""
        consent = request.consent
        sent_unit = unit if consent.measure else NOBODY
        sent_user = user if consent.measure or consent.personalise else NOBODY
        query = _query(request, surface.name, arm, sent_unit, sent_user, limit)
        query.explain = explain
        try:
            reply = await arm.recommender.ask(query)
        except Away as away:
            wanted = Wanted(
                placement=surface.name,
                variant=arm.variant,
                unit=sent_unit,
                user=sent_user,
                context=request.context if consent.personalise else {},
                limit=limit,
                exclude=request.exclude,
                candidates=request.candidates,
                filters=request.filter,
                measure=consent.measure,
            )
            slate, ignored = self._fallback.slate(wanted)
            return fallen_back(slate, ignored), away.reason
        return answered(surface.name, arm, reply), ""

    def _pseudonyms(self, request: RecommendationRequest) -> tuple[Pseudonym, Pseudonym]:
        """The unit of the experiment, and the user; NOBODY if nobody is logged in."""
        user = self._keyring.pseudonym("user", request.user_id) if request.user_id is not None else NOBODY
        if request.anonymous_id is not None:
            return self._keyring.pseudonym("anonymous", request.anonymous_id), user
        return user, user


def _query(
    request: RecommendationRequest, placement: str, arm: Arm, unit: Pseudonym, user: Pseudonym, limit: int
) -> pb.RecommendRequest:
    query = pb.RecommendRequest(
        placement=placement,
        variant=arm.variant,
        policy=arm.policy,
        model=arm.model,
        unit=unit,
        user=user,
        limit=limit,
        exclude=request.exclude,
        candidates=request.candidates,
        restricted=request.candidates is not None,
        personalise=request.consent.personalise,
        measure=request.consent.measure,
    )
    if request.consent.personalise:
        encode_facts(request.context, query.context)
    encode_facts(request.filter, query.filter)
    return query
