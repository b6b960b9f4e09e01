"""More requests at once than can be answered: the gateway over real HTTP, before a recommender that says nothing."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from omakase.serving.http import listen
from tests.integration.stage import RunningGateway, until

BODY = json.dumps({"placement": "home-top", "user_id": "u1"}).encode()


def test_what_cannot_wait_is_told_to_come_back_and_the_rest_is_answered(stage, shop, tmp_path):
    with listen("127.0.0.1", 0) as silent, ThreadPoolExecutor(24) as callers:
        target = f"127.0.0.1:{silent.getsockname()[1]}"
        gateway = RunningGateway(stage, shop, tmp_path / "gateway", target, timeout_s=0.4, max_requests=1)
        asked = [callers.submit(gateway.send, "POST", "/v1/recommendations", BODY) for _ in range(24)]
        until(lambda: sum(one.done() for one in asked) >= 24 - 1 - 16, "those for whom there is no room are told")
        assert gateway.send("GET", "/readyz")[0] == 200
        answers = [one.result() for one in asked]
        statuses = Counter(status for status, _, _ in answers)
        assert set(statuses) == {200, 503}
        assert statuses[503] >= 24 - 1 - 16
        assert {headers.get("retry-after") for status, headers, _ in answers if status == 503} == {"1"}
        assert all(json.loads(body)["fallback"] for status, _, body in answers if status == 200)
        assert gateway.ask(placement="home-top", user_id="u1")["fallback"]
        gateway.stop()
