"""`python -m dataflow.replay --bus=pubsub:PROJECT/TOPIC [--reason=features]`: dead letters of the job, published again.

For when what was wrong has been mended: by newer code, or a configuration that the features fit. What still cannot be
used comes back as a dead letter.
"""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser
from typing import Any
from warnings import catch_warnings, simplefilter

from omakase import logs
from omakase.adapters import open_event_bus
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.gcp.pubsub.clients import subscriber, subscription_path, topic_path
from omakase.adapters.uri import Uri
from omakase.cloud.topics import dead_letter_topic
from omakase.core.errors import Corrupt, OmakaseError
from omakase.ports.event_bus import Kind, Message
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import parse

_PAGE = 500
_ANSWER_S = 10.0
_KINDS: dict[str | None, Kind] = {"slate": "deliveries", "propensities": "propensities", "discarded": "discards"}


def replay(bus: str, now: float, reason: str = "") -> int:
    """Publish the letters that wait, all or those of one reason, and strike them out. Returns how many.

    A letter has the key of its body, and is struck out only once it is published: whoever dies in between publishes it
    again under the same key. It stands for no units, for its message was counted. Raises: Unavailable; InvalidInput.
    """
    topic = topic_path(Uri.parse(bus).location)
    letters = subscription_path(topic, dead_letter_topic(topic).rpartition("/")[2])
    publishing, replayed = open_event_bus(bus), 0
    with cloud_errors(f"replay {letters}"), subscriber() as client, catch_warnings():
        # Google would rather have pulls that wait. One that is given up may just have been handed something.
        simplefilter("ignore", DeprecationWarning)
        while found := _wanted(client, letters, reason):
            publishing.publish([_message(one.message, now) for one in found])
            ack_ids = [one.ack_id for one in found]
            client.acknowledge(subscription=letters, ack_ids=ack_ids, timeout=_ANSWER_S)
            replayed += len(found)
    return replayed


def _wanted(client: Any, letters: str, reason: str) -> list[Any]:
    """Some letters. Those of other reasons stay, and are handed out again after their acknowledgement deadline."""
    while True:
        request = {"subscription": letters, "max_messages": _PAGE, "return_immediately": True}
        received = client.pull(request=request, timeout=_ANSWER_S).received_messages
        wanted = [one for one in received if not reason or one.message.attributes.get("reason") == reason]
        if wanted or not received:
            return wanted


def _message(letter: Any, now: float) -> Message:
    key = bytes.fromhex(letter.attributes["key"])
    return Message(key, now, letter.data, _kind_of(letter.data), units=0)


def _kind_of(body: bytes) -> Kind:
    try:
        return _KINDS.get(parse(pb.BusMessage, body).WhichOneof("kind"), "events")
    except Corrupt:
        return "events"


def main() -> int:
    logs.set_up("replay", "INFO", "text")
    parser = ArgumentParser(prog="python -m dataflow.replay", description=__doc__)
    parser.add_argument("--bus", required=True, help="pubsub:PROJECT/TOPIC")
    parser.add_argument("--reason", default="", help="only letters of this reason, such as features")
    told = parser.parse_args()
    try:
        print(f"{replay(told.bus, time.time(), told.reason)} dead letters are published again")
    except OmakaseError as error:
        print(f"replay: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
