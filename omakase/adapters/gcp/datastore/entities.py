"""Entities of Datastore (Firestore in Datastore mode) by kind and name: JSON, and a time by which old ones are found.

On the messages themselves: through the wrappers of `google.cloud.datastore` a look-up takes several times the CPU.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeAlias, TypeVar

import grpc
import msgspec
from google.api_core.exceptions import (
    Aborted,
    DeadlineExceeded,
    GoogleAPIError,
    InternalServerError,
    ServiceUnavailable,
    TooManyRequests,
)
from google.api_core.retry import Retry, if_exception_type
from google.cloud.datastore_v1 import DatastoreClient
from google.cloud.datastore_v1.services.datastore.transports import DatastoreGrpcTransport
from google.cloud.datastore_v1.types import (
    CommitRequest,
    LookupRequest,
    LookupResponse,
    PropertyFilter,
    RollbackRequest,
    RunQueryRequest,
    RunQueryResponse,
)

T = TypeVar("T")

MOST_BYTES = 1_000_000  # of one entity
MOST_CHANGED = 25  # entities in a transaction: as many as Datastore takes in every mode

_MOST_LOOKED_UP = 1000
_MOST_WRITTEN = 200
_MOST_BYTES_WRITTEN = 5_000_000  # half of what a commit may hold
_TRY_S = 8.0
_ONCE = Retry(predicate=lambda _: False)  # left alone, the client would try for a minute
_PASSING = if_exception_type(Aborted, DeadlineExceeded, InternalServerError, ServiceUnavailable, TooManyRequests)
_JSON, _AT = "json", "at"


class Entity(msgspec.Struct, frozen=True):
    """`at`, if there is one, is indexed. Units: Unix seconds."""

    kind: str
    name: str
    json: str
    at: float | None = None


# From those that are there, by name, to those that shall be otherwise.
Change: TypeAlias = Callable[[Mapping[str, Entity]], Iterable[Entity]]


class Entities:
    """Of one database and namespace. Safe to share between threads.

    Raises: what Google's client raises, after it was tried again, with jitter, for `patience_s`: all may be repeated.
    """

    def __init__(self, project: str, database: str = "", namespace: str = "", patience_s: float = 20.0) -> None:
        emulator = os.environ.get("DATASTORE_EMULATOR_HOST")
        transport = DatastoreGrpcTransport(channel=grpc.insecure_channel(emulator)) if emulator else "grpc"
        self._api = DatastoreClient(transport=transport)
        self._of: dict[str, str] = {"project_id": project, "database_id": database}
        self._partition = {**self._of, "namespace_id": namespace}
        self._patience_s = patience_s
        self._again = Retry(predicate=_PASSING, initial=0.1, maximum=2.0, multiplier=2.0, timeout=patience_s)

    def find(self, keys: Iterable[tuple[str, str]], within_s: float | None = None) -> Iterator[Entity]:
        """Those that are there, in any order.

        Cost: one round trip for each 1,000, of `within_s` at most, or half as long again if the first try failed.
        """
        patience_s = self._patience_s if within_s is None else within_s
        again = Retry(
            predicate=if_exception_type(ServiceUnavailable, InternalServerError),
            initial=patience_s / 20,
            maximum=patience_s / 4,
            timeout=patience_s / 2,
        )
        for part in parts(keys, _MOST_LOOKED_UP):
            yield from self._look_up(part, again, patience_s)[0]

    def put(self, entities: Iterable[Entity]) -> None:
        """Cost: one round trip for each 200, or 5 MB."""
        for lot in _lots(entities):
            self._again(self._commit)(lot, ())

    def drop(self, keys: Sequence[tuple[str, str]]) -> None:
        """Cost: one round trip."""
        self._again(self._commit)((), keys)

    def change(self, kind: str, names: Sequence[str], change: Change) -> None:
        """Put what `change` makes of those of the names that are there, all or none; what has no JSON is dropped.

        `change` may be called more than once. Shapes: at most `MOST_CHANGED` names. Cost: two round trips.
        """
        self._again(self._transact)([(kind, name) for name in names], change)

    def older(self, kind: str, before: float, limit: int) -> list[str]:
        """The names of some whose `at` is before that, the oldest first. Cost: one round trip."""
        request = RunQueryRequest.pb()(partition_id=self._partition, **self._of)
        query = request.query
        query.kind.add(name=kind)
        query.projection.add().property.name = "__key__"
        query.filter.property_filter.property.name = _AT
        query.filter.property_filter.op = PropertyFilter.Operator.LESS_THAN
        query.filter.property_filter.value.double_value = before
        query.order.add().property.name = _AT
        query.limit.value = limit
        response = self._api.run_query(RunQueryRequest.wrap(request), retry=self._again, timeout=_TRY_S)
        return [result.entity.key.path[0].name for result in RunQueryResponse.pb(response).batch.entity_results]

    def _look_up(
        self, keys: Sequence[tuple[str, str]], again: Retry, timeout_s: float, *, begin: bool = False
    ) -> tuple[list[Entity], bytes]:
        """What is there, and the transaction that this began."""
        request = LookupRequest.pb()(**self._of)
        if begin:
            request.read_options.new_transaction.read_write.SetInParent()
        for key in keys:
            self._name(request.keys.add(), key)
        found: list[Entity] = []
        transaction = b""
        while request.keys:
            answer = LookupResponse.pb(self._api.lookup(LookupRequest.wrap(request), retry=again, timeout=timeout_s))
            found += [_entity_of(result.entity) for result in answer.found]
            if begin and not transaction:
                transaction = request.read_options.transaction = answer.transaction
            del request.keys[:]
            request.keys.extend(answer.deferred)
        return found, transaction

    def _transact(self, keys: Sequence[tuple[str, str]], change: Change) -> None:
        found, transaction = self._look_up(keys, _ONCE, _TRY_S, begin=True)
        try:
            after = list(change({entity.name: entity for entity in found}))
            dropped = [(entity.kind, entity.name) for entity in after if not entity.json]
            self._commit([entity for entity in after if entity.json], dropped, transaction)
        except BaseException:
            # Where it holds locks, they would be held until it is found to be idle.
            with suppress(GoogleAPIError):
                self._api.rollback(RollbackRequest(transaction=transaction, **self._of), retry=_ONCE, timeout=_TRY_S)
            raise

    def _commit(self, entities: Iterable[Entity], dropped: Iterable[tuple[str, str]], transaction: bytes = b"") -> None:
        request = CommitRequest.pb()(**self._of, mode=CommitRequest.Mode.NON_TRANSACTIONAL)
        if transaction:
            request.mode, request.transaction = CommitRequest.Mode.TRANSACTIONAL, transaction
        for entity in entities:
            message = request.mutations.add().upsert
            self._name(message.key, (entity.kind, entity.name))
            message.properties[_JSON].string_value = entity.json
            message.properties[_JSON].exclude_from_indexes = True
            if entity.at is not None:
                message.properties[_AT].double_value = entity.at
        for key in dropped:
            self._name(request.mutations.add().delete, key)
        self._api.commit(CommitRequest.wrap(request), timeout=_TRY_S)

    def _name(self, message: Any, key: tuple[str, str]) -> None:
        partition = message.partition_id
        partition.project_id, partition.database_id = self._partition["project_id"], self._partition["database_id"]
        partition.namespace_id = self._partition["namespace_id"]
        message.path.add(kind=key[0], name=key[1])


def _entity_of(message: Any) -> Entity:
    element, properties = message.key.path[0], message.properties
    at = properties[_AT].double_value if _AT in properties else None
    return Entity(element.kind, element.name, properties[_JSON].string_value, at)


def parts(many: Iterable[T], size: int) -> Iterator[list[T]]:
    """All of them, at most `size` at a time."""
    iterator = iter(many)
    while part := list(islice(iterator, size)):
        yield part


def _lots(entities: Iterable[Entity]) -> Iterator[list[Entity]]:
    """As many at once as one commit takes."""
    lot: list[Entity] = []
    size = 0
    for entity in entities:
        if lot and (len(lot) == _MOST_WRITTEN or size + len(entity.json) > _MOST_BYTES_WRITTEN):
            yield lot
            lot, size = [], 0
        lot.append(entity)
        size += len(entity.json)
    if lot:
        yield lot
