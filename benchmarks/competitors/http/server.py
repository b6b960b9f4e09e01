"""An HTTP server of one uvicorn process: told by a line what ranks, answers by a line with the port it listens at."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeAlias

import numpy as np
import uvicorn
from fastapi import FastAPI

from benchmarks.competitors import speed
from benchmarks.competitors.http.api import Ask, RankedItem, Slate
from benchmarks.competitors.http.thompson import ITEMS, NAMES, NUMBERS, TOP, Ranked, Thompson

# The slate's id, and its items.
Rank: TypeAlias = Callable[[Ask], Awaitable[tuple[str, list[RankedItem]]]]
Told: TypeAlias = Mapping[str, str]


def main() -> None:
    told: Told = json.loads(sys.stdin.readline())
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    app = serving(lambda: RANKS[told["ranks"]](told))
    print(json.dumps({"port": listening.getsockname()[1]}), flush=True)
    config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False)
    uvicorn.Server(config).run(sockets=[listening])


def serving(make: Callable[[], Rank]) -> FastAPI:
    """The application; what ranks is made once the loop runs."""
    rank: Rank

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        nonlocal rank
        rank = make()
        yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/v1/recommendations")
    async def recommend(ask: Ask) -> Slate:
        request_id, items = await rank(ask)
        return Slate(
            request_id=request_id,
            placement=ask.placement,
            variant="learnt",
            policy="thompson",
            model_version="home/0c9a1f52ab3d@41",
            fallback=False,
            ignored=[],
            items=items,
        )

    return app


def here(best: Callable[[str, int], Ranked]) -> Rank:
    """Ranked in this process."""

    async def rank(ask: Ask) -> tuple[str, list[RankedItem]]:
        request_id = secrets.token_urlsafe(16)
        ranked = zip(*best(ask.context.get("device", ""), ask.limit or TOP), strict=True)
        items = [
            RankedItem(
                item_id=NAMES[i],
                delivery_id=f"{request_id}-{position}",
                position=position,
                score=score,
                predicted_click=predicted,
                expected_value=10 * predicted,
            )
            for position, (i, score, predicted) in enumerate(ranked, 1)
        ]
        return request_id, items

    return rank


def library(name: str) -> Rank:
    """A library at its fastest, as `speed` measures it: it names the best; made-up scores stand beside them."""
    call = speed.CONTESTANTS[name](ITEMS, NUMBERS)

    def best(_: str, k: int) -> Ranked:
        indices = np.asarray(call()).tolist()[:k]
        return indices, [0.1] * len(indices), [0.01] * len(indices)

    return here(best)


def constant() -> Rank:
    """Nothing is ranked: what the HTTP stack takes by itself."""
    made_up = Thompson(ITEMS, NUMBERS)("ios", TOP)
    return here(lambda _device, _k: made_up)


def unary(target: str) -> Rank:
    """Ranked in another process."""
    from benchmarks.competitors.http import unary  # the libraries' environment has no gRPC

    return unary.over(target)


RANKS: Mapping[str, Callable[[Told], Rank]] = {
    "constant": lambda _: constant(),
    "numpy": lambda _: here(Thompson(ITEMS, NUMBERS)),
    "vowpal": lambda _: library("VW --squarecb, pre-parsed"),
    "mabwiser": lambda _: library("MABWiser LinGreedy"),
    "unary": lambda told: unary(told["target"]),
}

if __name__ == "__main__":
    main()
