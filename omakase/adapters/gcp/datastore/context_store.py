"""What is known of people, in Datastore.

    Facts/PSEUDONYM      the facts
    Clicks/PSEUDONYM     the last `MAX_RECENT` clicks in order; `at`: when the first of them was

One entity each, so that an import of facts reads nothing, and a click changes no facts.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from omakase.adapters.gcp.datastore.entities import MOST_BYTES, MOST_CHANGED, Entities, Entity, parts
from omakase.adapters.gcp.datastore.recollection import Recollection
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.local.facts import decode_facts, encode_facts
from omakase.adapters.uri import Uri
from omakase.core.errors import Corrupt, InvalidInput
from omakase.core.features import MAX_RECENT
from omakase.core.ids import Pseudonym
from omakase.core.values import Facts
from omakase.ports.context_store import Click, Known

log = logging.getLogger(__name__)

FACTS, CLICKS = "Facts", "Clicks"

_EXPIRED_AT_ONCE = 1_000  # people
_OPTIONS = {"namespace": "", "expiry_s": "60", "remembered": "20000"}


class _Clicked(msgspec.Struct, frozen=True, array_like=True, order=True):
    at: float
    request_id: bytes
    position: int
    item_id: str


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(list[_Clicked]).decode


class DatastoreContextStore:
    """ContextStore. What it read it remembers for `expiry_s`, also that nothing was there.

    So what another process put, noted, expired or forgot is seen after `expiry_s` at the latest; what this one wrote,
    at once. What fails is tried again, with jitter, for twenty seconds; a look-up within its time.
    """

    def __init__(self, entities: Entities, expiry_s: float = 60.0, remembered: int = 20_000) -> None:
        """`remembered`: so many people, of about a kilobyte each, or four where they clicked often."""
        self._entities = entities
        self._recollection: Recollection[Pseudonym, Known] = Recollection(expiry_s, remembered)

    @classmethod
    def from_uri(cls, uri: Uri) -> DatastoreContextStore:
        """`datastore:PROJECT[/DATABASE][?namespace=N&expiry_s=60&remembered=20000]`."""
        options = {**_OPTIONS, **uri.only(*_OPTIONS)}
        project, _, database = uri.location.partition("/")
        if not project or "/" in database:
            raise InvalidInput(f"{uri.text!r}: write datastore:PROJECT or datastore:PROJECT/DATABASE")
        expiry_s, remembered = _number(uri, options, "expiry_s"), _number(uri, options, "remembered")
        with cloud_errors(f"use {uri.text}"):
            entities = Entities(project, database, options["namespace"])
        return cls(entities, expiry_s, int(remembered))

    def find(self, people: Collection[Pseudonym], within_s: float | None = None) -> Mapping[Pseudonym, Known]:
        """See ContextStore. Cost: one round trip for each 500 of whom nothing is remembered."""
        found, unknown = self._recollection.recall(people)
        if unknown:
            since = self._recollection.now()
            with cloud_errors("look up people in Datastore"):
                keys = ((kind, person) for person in unknown for kind in (FACTS, CLICKS))
                read = _known(self._entities.find(keys, within_s))
            self._recollection.remember(unknown, read, since)
            found |= read
        return found

    def at_hand(self, people: Collection[Pseudonym]) -> Mapping[Pseudonym, Known] | None:
        """See ContextStore. Cost: a microsecond a person."""
        found, unknown = self._recollection.recall(people)
        return None if unknown else found

    def put(self, contexts: Iterable[tuple[Pseudonym, Facts]]) -> int:
        """See ContextStore. A person named twice counts once. Cost: one round trip for each 200 people, or 5 MB."""
        # Encoded before anything is sent: a faulty source must not leave half of itself.
        encoded = {person: _fitting(encode_facts(facts)) for person, facts in contexts}
        try:
            with cloud_errors("put facts into Datastore"):
                self._entities.put(Entity(FACTS, person, json) for person, json in encoded.items())
        finally:
            self._recollection.drop(encoded)
        return len(encoded)

    def note(self, clicks: Sequence[Click]) -> None:
        """See ContextStore. Cost: two round trips for each 25 people."""
        noted: dict[Pseudonym, list[_Clicked]] = {}
        for click in clicks:
            clicked = _Clicked(click.at, bytes(click.request_id), click.position, click.item_id)
            noted.setdefault(click.person, []).append(clicked)
        try:
            with cloud_errors("note clicks in Datastore"):
                for people in parts(sorted(noted), MOST_CHANGED):  # in order: two that meet do not lock crosswise
                    self._entities.change(CLICKS, people, partial(_noted, {name: noted[name] for name in people}))
        finally:
            self._recollection.drop(noted)

    def expire(self, before: float) -> int:
        """See ContextStore. Cost: a query, and two round trips for each 25 of up to 1,000 people."""
        tried: list[str] = []
        with cloud_errors("expire clicks in Datastore"):
            while (old := self._entities.older(CLICKS, before, _EXPIRED_AT_ONCE)) and old != tried:
                if gone := self._expire(sorted(old), before):  # none where somebody else has just done it
                    return gone
                tried = old
        return 0

    def forget(self, person: Pseudonym) -> None:
        """See ContextStore. Other processes may remember the person for `expiry_s`. Cost: one round trip."""
        try:
            with cloud_errors("forget a person in Datastore"):
                self._entities.drop([(FACTS, person), (CLICKS, person)])
        finally:
            self._recollection.drop([person])

    def _expire(self, names: Sequence[str], before: float) -> int:
        gone: dict[str, int] = {}

        def young(stored: Mapping[str, Entity]) -> Iterator[Entity]:
            for name, entity in stored.items():
                clicks = _readable(entity)
                kept = [click for click in clicks if click.at >= before]
                gone[name] = len(clicks) - len(kept)
                yield _entity_of(name, kept)

        try:
            for some in parts(names, MOST_CHANGED):
                self._entities.change(CLICKS, some, young)
        finally:
            self._recollection.drop(map(Pseudonym, names))
        return sum(gone.values())


def _known(entities: Iterable[Entity]) -> dict[Pseudonym, Known]:
    """Raises: Corrupt."""
    known: dict[Pseudonym, Known] = {}
    for entity in entities:
        person = Pseudonym(entity.name)
        before = known.get(person, Known())
        if entity.kind == FACTS:
            known[person] = Known(decode_facts(entity.json), before.clicked)
        else:
            known[person] = Known(before.facts, tuple(click.item_id for click in _clicks_of(entity)))
    return known


def _noted(noted: Mapping[Pseudonym, list[_Clicked]], stored: Mapping[str, Entity]) -> Iterator[Entity]:
    """The last of what was and what is noted, for those whom that changes; a delivery counts when it came first."""
    for person, new in noted.items():
        before = _readable(stored[person]) if person in stored else []
        clicks = {(click.request_id, click.position): click for click in reversed([*before, *new])}
        after = sorted(clicks.values())[-MAX_RECENT:]
        if after != before:
            yield _entity_of(person, after)


def _entity_of(name: str, clicks: list[_Clicked]) -> Entity:
    """Without JSON, and so dropped, if there are none."""
    return Entity(CLICKS, name, _encode(clicks).decode(), clicks[0].at) if clicks else Entity(CLICKS, name, "")


def _readable(entity: Entity) -> list[_Clicked]:
    """Rubbish may not keep a person's clicks from being noted for ever: they begin anew."""
    try:
        return _clicks_of(entity)
    except Corrupt as error:
        log.error("the clicks of %s begin anew: %s", entity.name, error)
        return []


def _clicks_of(entity: Entity) -> list[_Clicked]:
    try:
        return _decode(entity.json)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"stored clicks cannot be read: {error}") from error


def _fitting(json: str) -> str:
    if len(json) > MOST_BYTES:
        raise InvalidInput(f"the facts of a person take {len(json)} bytes; Datastore keeps at most {MOST_BYTES}")
    return json


def _number(uri: Uri, options: Mapping[str, str], name: str) -> float:
    try:
        number = float(options[name])
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1e9:
        raise InvalidInput(f"{uri.text!r}: {name} is a number from 0, not {options[name]!r}")
    return number
