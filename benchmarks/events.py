"""Events per second from HTTP to the model: accepted with 202, joined, folded, learnt, published."""

from __future__ import annotations

import json
import time

from benchmarks import shop
from benchmarks.connection import request
from benchmarks.load import run
from omakase import models
from omakase.accounts import read_account
from omakase.adapters import open_model_store
from omakase.supervisor import Supervisor

SLATES = 3_000
BATCH = 50
CONNECTIONS = 8
PATIENCE_S = 180.0


def measure() -> list[str]:
    """The lines to print."""
    with shop.running() as up:
        events = _events(up)
        bodies = [json.dumps({"events": events[i : i + BATCH]}).encode() for i in range(0, len(events), BATCH)]
        requests = [request(up.tracking_url, "/v1/events", body) for body in bodies]
        started = time.perf_counter()
        load = run(up.tracking_url, requests, CONNECTIONS)
        _wait_until_learnt(up, len(events))
        learnt_s = time.perf_counter() - started
        up.drain()
        account = read_account(up.deployment)
        faults = account.faults() + ([f"{account.unread} messages unread"] if account.unread else [])
    return [
        f"events, {len(events)} impressions, {BATCH} a POST, {CONNECTIONS} connections, stored before each 202",
        f"  accepted over HTTP                     {len(events) / load.elapsed_s:8.0f}/s   {load.errors} errors",
        f"  from the first POST to a model with all {len(events) / learnt_s:7.0f}/s   "
        f"({learnt_s:.1f} s, of which 1 s session gap)",
        f"  accounting: {'; '.join(faults) or 'balanced'}",
    ]


def _events(up: Supervisor) -> list[dict[str, str]]:
    """An impression for each of the deliveries of SLATES slates, asked for beforehand."""
    asks = [
        request(
            up.gateway_url,
            "/v1/recommendations",
            json.dumps({"placement": "home-top", "anonymous_id": f"a{i}", "limit": 10}).encode(),
        )
        for i in range(SLATES)
    ]
    answers = run(up.gateway_url, asks, CONNECTIONS, keep_bodies=True)
    slates = [json.loads(body) for body in answers.bodies]
    return [
        {"delivery_id": item["delivery_id"], "type": "impression"}
        for slate in slates
        if not slate["fallback"]
        for item in slate["items"]
    ]


def _wait_until_learnt(up: Supervisor, examples: int) -> None:
    store = open_model_store(up.deployment.uris.models)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        keys = models.keys(store)
        if keys and models.newest(store, keys[0]).snapshot.statistics.examples >= examples:
            return
        time.sleep(0.05)
    raise TimeoutError(f"not all of {examples} examples were learnt within {PATIENCE_S:g} s")
