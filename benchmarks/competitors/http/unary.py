"""The same scoring behind a gRPC hop, a call for each request: both ends."""

from __future__ import annotations

import json
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import uvloop

from benchmarks.competitors.http.api import Ask, RankedItem
from benchmarks.competitors.http.thompson import ITEMS, NAMES, NUMBERS, TOP, Thompson

PROTOS, SERVICES = grpc.protos_and_services("benchmarks/competitors/http/recommender.proto")
DEADLINE_S = 5.0


def over(target: str) -> Callable[[Ask], Awaitable[tuple[str, list[RankedItem]]]]:
    """Asks the recommender at `target`. To be made where a loop runs."""
    stub = SERVICES.RecommenderStub(grpc.aio.insecure_channel(target))

    async def rank(ask: Ask) -> tuple[str, list[RankedItem]]:
        user = ask.anonymous_id or ask.user_id
        asked = PROTOS.Request(placement=ask.placement, user=user, context=ask.context, limit=ask.limit or TOP)
        slate = await stub.Recommend(asked, timeout=DEADLINE_S)
        items = [
            RankedItem(
                item_id=item.item_id,
                delivery_id=item.delivery_id,
                position=item.position,
                score=item.score,
                predicted_click=item.predicted_click,
                expected_value=item.expected_value,
            )
            for item in slate.items
        ]
        return slate.request_id, items

    return rank


class Recommender:
    """The servicer."""

    def __init__(self) -> None:
        self._rank = Thompson(ITEMS, NUMBERS)

    async def Recommend(self, request: Any, _: object) -> object:  # noqa: N802  gRPC's name
        request_id = secrets.token_urlsafe(16)
        ranked = zip(*self._rank(request.context.get("device", ""), request.limit), strict=True)
        items = [
            PROTOS.Item(
                item_id=NAMES[i],
                delivery_id=f"{request_id}-{position}",
                position=position,
                score=score,
                predicted_click=predicted,
                expected_value=10 * predicted,
            )
            for position, (i, score, predicted) in enumerate(ranked, 1)
        ]
        return PROTOS.Slate(request_id=request_id, model_version="home@41", items=items)


async def serve(address: str) -> None:
    server = grpc.aio.server()
    SERVICES.add_RecommenderServicer_to_server(Recommender(), server)
    server.add_insecure_port(address)
    await server.start()
    print(json.dumps({"target": address}), flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.run(serve(json.loads(sys.stdin.readline())["address"]))
