"""`python -m dataflow`: the bounded trainer, until SIGTERM. With `--drain`: work everything off, then end."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from pathlib import Path

from dataflow.bounded import Pipeline
from dataflow.publishing import Publisher
from dataflow.trainer import Trainer
from dataflow.transforms import Widths
from omakase.adapters import open_clock, open_event_log, open_model_store, open_training_state, open_warehouse
from omakase.config import Product, load_product
from omakase.core.errors import OmakaseError
from omakase.serving import process
from omakase.settings import TrainerSettings
from omakase.snapshots import model_key

log = logging.getLogger("dataflow")


def widths(product: Product) -> dict[str, Widths]:
    """How wide the features of each configured model are."""
    specs = {name: product.feature_spec(name) for name in product.models}
    return {model_key(name, spec.schema_id): (spec.context_width, spec.item_width) for name, spec in specs.items()}


def build(settings: TrainerSettings) -> Trainer:
    product = load_product(Path(settings.config))
    learning = product.learning
    clock, state = open_clock(settings.clock), open_training_state(settings.state)
    store = open_model_store(settings.models)
    return Trainer(
        log=open_event_log(settings.bus),
        state=state,
        warehouse=open_warehouse(settings.warehouse),
        publisher=Publisher(store, state, clock, settings.shard, learning.publish_interval_s, time.monotonic),
        pipeline=Pipeline(learning.rules(), product.reward_tables(), widths(product), learning.batch_size),
        clock=clock,
        shard=settings.shard,
        max_messages=settings.max_messages,
    )


def train(settings: TrainerSettings) -> None:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    trainer = build(settings)
    if "--drain" in sys.argv:
        trainer.drain()
        return
    while not stopping.is_set():
        started = time.monotonic()
        try:
            is_behind = trainer.tick()
        except OmakaseError as error:
            log.error("this tick is tried again: %s", error)
            is_behind = False
        if not is_behind:
            stopping.wait(max(0.0, settings.tick_s - (time.monotonic() - started)))


def main() -> int:
    return process.run("trainer", TrainerSettings, train)


if __name__ == "__main__":
    sys.exit(main())
