"""`python -m dataflow`: the bounded trainer, until SIGTERM. With `--drain`: work everything off, then end."""

from __future__ import annotations

import signal
import sys
import threading
import time

from dataflow.bounded import Pipeline
from dataflow.publishing import Publisher
from dataflow.recovery import recover
from dataflow.traces import Traces
from dataflow.trainer import CONSUMER, Trainer
from omakase.adapters import (
    open_clock,
    open_dead_letters,
    open_event_log,
    open_model_store,
    open_pending_batches,
    open_training_state,
    open_warehouse,
)
from omakase.configured import intervals_of, learners_of
from omakase.serving import process
from omakase.serving.configuration import Configuration
from omakase.serving.gauges import TrainerGauges, serve_gauges
from omakase.serving.priority import give_way
from omakase.settings import TrainerSettings

# On a machine that is all taken, serving goes before learning: what was recorded is learnt from a little later.
_NICE = 10


def build(settings: TrainerSettings) -> Trainer:
    product = Configuration.named_by(settings).newest.product
    interval_s = product.learning.publish_interval_s
    clock, store = open_clock(settings.clock), open_model_store(settings.models)
    batches, state = open_pending_batches(settings.state), open_training_state(settings.state)
    bus, shard = open_event_log(settings.bus), f"{settings.shard}-{state.incarnation()}"
    recover(bus, state, CONSUMER)
    traces = Traces(shard)
    return Trainer(
        log=bus,
        state=state,
        warehouse=open_warehouse(settings.warehouse),
        publisher=Publisher(
            store,
            batches,
            clock,
            learners_of(product),
            shard,
            interval_s,
            time.monotonic,
            product.learning.max_click_rate_ratio,
            intervals_of(product),
            traces.published,
        ),
        pipeline=Pipeline.of(product),
        clock=clock,
        shard=shard,
        max_messages=settings.max_messages,
        traces=traces,
    )


def train(settings: TrainerSettings) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    trainer = build(settings)
    if "--drain" in sys.argv:
        trainer.drain()
    else:
        letters, models = open_dead_letters(settings.state), open_model_store(settings.models)
        give_way(_NICE)
        serve_gauges(settings.metrics_address, TrainerGauges(trainer.state, letters, trainer.log, models))
        trainer.run(stopping, settings.tick_s)


def main() -> int:
    return process.run("trainer", TrainerSettings, train)


if __name__ == "__main__":
    sys.exit(main())
