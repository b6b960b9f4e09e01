"""More requests at once than can be answered: the gateway over real HTTP, before a recommender that hangs."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from tests.integration.stage import RunningGateway, RunningRecommender, Stage, until

BODY = json.dumps({"placement": "home-top", "user_id": "u1"}).encode()
CALLERS, WAITING = 24, 16


def test_what_cannot_wait_is_told_to_come_back_and_the_rest_is_answered(stage, shop, tmp_path):
    with ExitStack() as held:
        callers, other = held.enter_context(ThreadPoolExecutor(CALLERS)), held.enter_context(Stage())
        hanging = RunningRecommender(other, shop, tmp_path / "spool").ready()
        held.callback(hanging.stop)
        gateway = RunningGateway(stage, shop, tmp_path / "gateway", hanging.target, max_requests=1)
        held.callback(gateway.stop)
        until(lambda: not gateway.ask(placement="home-top", user_id="u1")["fallback"], "the recommender answers")
        other.freeze(1.5)
        asked = [callers.submit(gateway.send, "POST", "/v1/recommendations", BODY) for _ in range(CALLERS)]
        until(lambda: sum(one.done() for one in asked) >= CALLERS - 1 - WAITING, "those without room are told")
        assert gateway.send("GET", "/readyz")[0] == 200
        answers = [one.result() for one in asked]
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 503}
        assert statuses[503] >= CALLERS - 1 - WAITING
        assert {headers.get("retry-after") for status, headers, _ in answers if status == 503} == {"1"}
        assert gateway.send("POST", "/v1/recommendations", BODY)[0] == 200
