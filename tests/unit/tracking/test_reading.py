"""How long one body may hold the loop."""

from __future__ import annotations

import asyncio
import json
import os
import time

import pytest

from tests.integration.stage import KEYRING, START, Stage
from tests.property.test_beacons import Beacons
from tracking.events import Reader, Rejected


def test_an_event_of_a_hundred_thousand_fields_is_rejected_by_its_first_few():
    reader = Reader(KEYRING, frozenset({"click"}), 1000, os.urandom)
    event = {"valeu": 1} | {f"field{i}": i for i in range(100_000)}
    started = time.thread_time()
    with pytest.raises(Rejected) as rejected:
        reader.read(event, START)
    assert time.thread_time() - started < 0.05  # looked at whole it takes half a second
    assert rejected.value.reason == "malformed"
    assert rejected.value.detail.startswith("valeu: is not a field; did you mean 'value'?; field0: is not a field")
    assert rejected.value.detail.count("is not a field") == 5


def test_others_have_their_turn_while_a_long_batch_is_read(tmp_path):
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def post(beacons: Beacons) -> int:
        other = asyncio.create_task(take_turns())
        body = json.dumps({"events": [7] * 1000}).encode()
        status, _ = await beacons.asked({"method": "POST", "path": "/v1/events", "query_string": b""}, body)
        other.cancel()
        return status

    with Stage() as stage:
        assert stage.run(post(Beacons(stage, tmp_path, max_events=1000))) == 202
    assert turns >= 10
