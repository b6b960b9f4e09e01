"""The streaming job: from a subscription to models, history and dead letters.

                      ┌▶ History: deliveries, propensities, events
    Pub/Sub ─▶ read ──┤
                      └▶ Streaming ─▶ models; examples, tallies, publications ▶ history; dead letters ▶ their topic

A message may come more than once. Within ten minutes Dataflow tells by its key, the rest the fold tells by the event's
receipt: `redelivered`. History may have such a message twice; whoever counts goes by its ids, as everywhere.

The names of the steps are those of the states that an update of the job takes over: to rename one is to lose its state.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b

import apache_beam as beam
from apache_beam.io.gcp.pubsub import PubsubMessage, ReadFromPubSub, WriteToPubSub

from dataflow.history import File, Filing
from dataflow.records import (
    example_rows,
    message_rows,
    pack_record,
    pack_tally,
    publication_rows,
    tally_rows,
)
from dataflow.streaming import Streaming
from dataflow.transforms import Unusable
from omakase.core.accounting import DELIVERIES, EVENTS, RECEIVED, SERVED, DeliveryEnd, EventEnd, Tally
from omakase.core.errors import Corrupt
from omakase.v1 import events_pb2 as pb
from omakase.wire.framing import parse

# In bytes. Pub/Sub takes no longer attribute, and a letter that it refused would be tried again for ever.
_MOST_DETAIL = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """`subscription` and `dead_letters` as Pub/Sub names them: `projects/…/subscriptions/…`, `projects/…/topics/…`.

    `key` and `received_at` are the attributes of a message that hold its key and when it was received.
    """

    subscription: str
    dead_letters: str
    key: str
    received_at: str
    streaming: Streaming
    filing: Filing

    def build(self, pipeline: beam.Pipeline) -> None:
        """All steps. Cost: nothing is asked of any service yet."""
        messages = pipeline | "read" >> ReadFromPubSub(
            subscription=self.subscription, id_label=self.key, timestamp_attribute=self.received_at
        )
        letters = self.connect(messages)
        _ = letters | "to their topic" >> WriteToPubSub(self.dead_letters, with_attributes=True)

    def connect(self, messages: beam.PCollection) -> beam.PCollection:
        """Everything between the two topics. Returns dead letters, as Pub/Sub messages."""
        filing = self.filing
        _ = messages | "history" >> File(filing, message_rows)
        outputs = self.streaming.build(messages)
        letters = outputs.dead_letters
        dead = letters | "count dead" >> beam.Map(dead_tally).with_output_types(Tally)
        tallies = (outputs.tallies, dead) | "tallies" >> beam.Flatten()
        for name, records, pack, rows_of in (
            ("examples", outputs.examples, pack_record, example_rows),
            ("counts", tallies, pack_tally, tally_rows),
            ("publications", outputs.publications, pack_record, publication_rows),
        ):
            packed = records | f"pack {name}" >> beam.Map(pack).with_output_types(bytes)
            _ = packed | f"{name} history" >> File(filing, rows_of)
        return letters | "enclose" >> beam.Map(dead_letter).with_output_types(PubsubMessage)


def dead_letter(unusable: Unusable) -> PubsubMessage:
    """What could not be used, as it was, with the reason. Its key is its body's: repeated, it is the same letter."""
    body, reason, detail = unusable
    key = blake2b(body, digest_size=16, person=b"dead letter").hexdigest()
    told = detail.encode()[:_MOST_DETAIL].decode(errors="ignore")
    return PubsubMessage(body, {"key": key, "reason": reason, "detail": told})


def dead_tally(unusable: Unusable) -> Tally:
    """How many deliveries or events came in and were rejected; one event if the bytes say nothing."""
    try:
        message = parse(pb.BusMessage, unusable[0])
    except Corrupt:
        return Counter({(EVENTS, RECEIVED): 1, (EVENTS, EventEnd.REJECTED): 1})
    if message.WhichOneof("kind") == "slate":
        count = len(message.slate.deliveries)
        return Counter({(DELIVERIES, SERVED): count, (DELIVERIES, DeliveryEnd.REJECTED): count})
    return Counter({(EVENTS, RECEIVED): 1, (EVENTS, EventEnd.REJECTED): 1})
