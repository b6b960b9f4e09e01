"""A URI picks the adapter: one table of dotted paths, imported only when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput

if TYPE_CHECKING:
    from omakase.adapters.local.spool_reader import SpoolReader
    from omakase.ports.catalogue_store import CatalogueStore
    from omakase.ports.clock import Clock
    from omakase.ports.context_store import ContextStore
    from omakase.ports.dead_letters import DeadLetters
    from omakase.ports.delivery_log import DeliveryLog
    from omakase.ports.delivery_store import DeliveryStore
    from omakase.ports.event_bus import EventBus, EventLog
    from omakase.ports.forgotten import Forgotten
    from omakase.ports.model_store import ModelStore
    from omakase.ports.orders import Credits, Orders
    from omakase.ports.pending_batches import PendingBatches
    from omakase.ports.shared_text import SharedText
    from omakase.ports.touches import Touches
    from omakase.ports.training_state import TrainingState
    from omakase.ports.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class Adapter:
    """`module:Class`, whose `from_uri` opens it; and the extra that brings what the module imports."""

    target: str
    extra: str = ""


_LOCAL, _GCP = "omakase.adapters.local", "omakase.adapters.gcp"

ADAPTERS: dict[tuple[str, str], Adapter] = {
    ("clock", "system"): Adapter(f"{_LOCAL}.clock:SystemClock"),
    ("clock", "mapped"): Adapter(f"{_LOCAL}.clock:MappedClock"),
    ("event bus", "sqlite"): Adapter(f"{_LOCAL}.event_log:SqliteEventLog"),
    ("event bus", "pubsub"): Adapter(f"{_GCP}.pubsub.event_bus:PubSubEventBus", "gcp"),
    ("event log", "sqlite"): Adapter(f"{_LOCAL}.event_log:SqliteEventLog"),
    ("event log", "pubsub"): Adapter(f"{_GCP}.pubsub.event_log:PubSubEventLog", "gcp"),
    ("model store", "file"): Adapter(f"{_LOCAL}.model_store:FileModelStore"),
    ("model store", "gs"): Adapter(f"{_GCP}.storage.model_store:GcsModelStore", "gcp"),
    ("delivery store", "sqlite"): Adapter(f"{_LOCAL}.delivery_store:SqliteDeliveryStore"),
    ("delivery store", "redis"): Adapter(f"{_GCP}.redis.delivery_store:RedisDeliveryStore", "gcp"),
    ("delivery store", "rediss"): Adapter(f"{_GCP}.redis.delivery_store:RedisDeliveryStore", "gcp"),
    ("touches", "sqlite"): Adapter(f"{_LOCAL}.touch_store:SqliteTouches"),
    ("touches", "redis"): Adapter(f"{_GCP}.redis.touch_store:RedisTouches", "gcp"),
    ("touches", "rediss"): Adapter(f"{_GCP}.redis.touch_store:RedisTouches", "gcp"),
    ("orders", "sqlite"): Adapter(f"{_LOCAL}.order_store:SqliteOrders"),
    ("orders", "redis"): Adapter(f"{_GCP}.redis.order_store:RedisOrders", "gcp"),
    ("orders", "rediss"): Adapter(f"{_GCP}.redis.order_store:RedisOrders", "gcp"),
    ("credits", "sqlite"): Adapter(f"{_LOCAL}.order_store:SqliteCredits"),
    ("credits", "redis"): Adapter(f"{_GCP}.redis.order_store:RedisCredits", "gcp"),
    ("credits", "rediss"): Adapter(f"{_GCP}.redis.order_store:RedisCredits", "gcp"),
    ("context store", "sqlite"): Adapter(f"{_LOCAL}.context_store:SqliteContextStore"),
    ("context store", "datastore"): Adapter(f"{_GCP}.datastore.context_store:DatastoreContextStore", "gcp"),
    ("catalogue store", "sqlite"): Adapter(f"{_LOCAL}.catalogue_store:SqliteCatalogueStore"),
    ("catalogue store", "gs"): Adapter(f"{_GCP}.storage.catalogue_store:GcsCatalogueStore", "gcp"),
    ("shared text", "gs"): Adapter(f"{_GCP}.storage.shared_text:GcsSharedText", "gcp"),
    ("delivery log", "spool"): Adapter(f"{_LOCAL}.spool:Spool"),
    ("spool reader", "spool"): Adapter(f"{_LOCAL}.spool_reader:SpoolReader"),
    ("training state", "sqlite"): Adapter(f"{_LOCAL}.training_state:SqliteTrainingState"),
    ("pending batches", "sqlite"): Adapter(f"{_LOCAL}.training_state:SqliteTrainingState"),
    ("forgotten", "sqlite"): Adapter(f"{_LOCAL}.forgotten:SqliteForgotten"),
    ("forgotten", "redis"): Adapter(f"{_GCP}.redis.forgotten:RedisForgotten", "gcp"),
    ("forgotten", "rediss"): Adapter(f"{_GCP}.redis.forgotten:RedisForgotten", "gcp"),
    ("dead letters", "sqlite"): Adapter(f"{_LOCAL}.dead_letters:SqliteDeadLetters"),
    ("warehouse", "duckdb"): Adapter(f"{_LOCAL}.warehouse:FileWarehouse"),
    ("warehouse", "bigquery"): Adapter(f"{_GCP}.bigquery.warehouse:BigQueryWarehouse", "gcp"),
}


def open_clock(uri: str) -> Clock:
    """`system:`, or `mapped:/path`, which a replay moves. Raises, as all of these: InvalidInput; Unavailable."""
    clock: Clock = _open("clock", uri)
    return clock


def open_event_bus(uri: str) -> EventBus:
    """`sqlite:/path.db[?durability=os|disk]`; `pubsub:PROJECT/TOPIC`, where options of the log may follow."""
    bus: EventBus = _open("event bus", uri)
    return bus


def open_event_log(uri: str) -> EventLog:
    """`sqlite:/path.db[?durability=os|disk]`; `pubsub:PROJECT/TOPIC?subscription=NAME&journal=/path.db`."""
    log: EventLog = _open("event log", uri)
    return log


def open_model_store(uri: str) -> ModelStore:
    """`file:/directory`; `gs://BUCKET/PREFIX`."""
    store: ModelStore = _open("model store", uri)
    return store


def open_delivery_store(uri: str) -> DeliveryStore:
    """`sqlite:/path.db[?durability=os|disk]`, `redis://[:password@]host:port/db[?expiry_s=172800&…]` or `rediss://…`;
    further options: `omakase.adapters.gcp.redis.server.Server`.
    """
    store: DeliveryStore = _open("delivery store", uri)
    return store


def open_touches(uri: str) -> Touches:
    """As of the delivery store, whose address it may be, as may those of orders and credits."""
    touches: Touches = _open("touches", uri)
    return touches


def open_orders(uri: str) -> Orders:
    """As of the delivery store."""
    orders: Orders = _open("orders", uri)
    return orders


def open_credits(uri: str) -> Credits:
    """As of the delivery store."""
    credits: Credits = _open("credits", uri)
    return credits


def open_context_store(uri: str) -> ContextStore:
    """`sqlite:/path.db[?durability=os|disk]`, or `datastore:PROJECT[/DATABASE][?namespace=N&expiry_s=60]`."""
    store: ContextStore = _open("context store", uri)
    return store


def open_catalogue_store(uri: str) -> CatalogueStore:
    """`sqlite:/path.db[?durability=os|disk]`; `gs://BUCKET/PREFIX[?announcements=PROJECT/TOPIC]`."""
    store: CatalogueStore = _open("catalogue store", uri)
    return store


def open_shared_text(uri: str) -> SharedText:
    """`gs://BUCKET/PATH`."""
    text: SharedText = _open("shared text", uri)
    return text


def open_delivery_log(uri: str) -> DeliveryLog:
    """`spool:/directory`."""
    log: DeliveryLog = _open("delivery log", uri)
    return log


def open_spool_reader(uri: str) -> SpoolReader:
    """The other end of a delivery log: `spool:/directory`."""
    reader: SpoolReader = _open("spool reader", uri)
    return reader


def open_training_state(uri: str) -> TrainingState:
    """`sqlite:/path.db[?durability=os|disk]`."""
    state: TrainingState = _open("training state", uri)
    return state


def open_pending_batches(uri: str) -> PendingBatches:
    """`sqlite:/path.db[?durability=os|disk]`, the same as the training state's: one transaction fills both."""
    batches: PendingBatches = _open("pending batches", uri)
    return batches


def open_dead_letters(uri: str) -> DeadLetters:
    """`sqlite:/path.db[?durability=os|disk]`, the same as the training state's: a tick changes both."""
    letters: DeadLetters = _open("dead letters", uri)
    return letters


def open_forgotten(uri: str) -> Forgotten:
    """The same address as the delivery store's: they expire together."""
    forgotten: Forgotten = _open("forgotten", uri)
    return forgotten


def open_warehouse(uri: str) -> Warehouse:
    """`duckdb:/directory`; `bigquery:PROJECT/DATASET[?location=EU]`."""
    warehouse: Warehouse = _open("warehouse", uri)
    return warehouse


def check_address(port: str, text: str) -> None:
    """Whether a port has an adapter of that scheme; opens and imports nothing. Raises: InvalidInput."""
    _adapter_of(port, Uri.parse(text))


def _adapter_of(port: str, uri: Uri) -> Adapter:
    adapter = ADAPTERS.get((port, uri.scheme))
    if adapter is None:
        known = ", ".join(f"{scheme}:" for of, scheme in ADAPTERS if of == port)
        raise InvalidInput(f"{uri.text!r}: no {port} has the scheme {uri.scheme!r}; known: {known}")
    return adapter


def _open(port: str, text: str) -> Any:
    uri = Uri.parse(text)
    adapter = _adapter_of(port, uri)
    module, _, name = adapter.target.partition(":")
    try:
        opener = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if not adapter.extra or (error.name or "").partition(".")[0] == "omakase":
            raise
        raise InvalidInput(
            f"{uri.text!r} needs {error.name}, which is not installed: pip install 'omakase[{adapter.extra}]'"
        ) from error
    return opener.from_uri(uri)
