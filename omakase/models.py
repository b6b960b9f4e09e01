"""What people do to a model by hand: look at it, roll it back, let it learn again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from omakase.core.errors import Conflict, InvalidInput, NotFound
from omakase.popularity import is_popularity
from omakase.ports.model_store import Generation, ModelKey, ModelStore
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot

_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot and its generation."""

    key: ModelKey
    generation: Generation
    snapshot: Snapshot


def keys(store: ModelStore) -> list[ModelKey]:
    """The models in the store; popularity lists, which live there too, are not among them."""
    return [key for key in store.keys() if not is_popularity(key)]  # noqa: SIM118  a store is no dict


def newest(store: ModelStore, key: ModelKey) -> Published:
    """Raises: NotFound naming the models there are; Corrupt."""
    found = store.latest(key)
    if found is None:
        raise NotFound(f"no model {key!r}; known: {', '.join(keys(store)) or 'none yet'}")
    return Published(key, found[1], decode_snapshot(found[0]))


def resolve(store: ModelStore, name: str) -> ModelKey:
    """The key that `name` means: a whole key, or a model's name where it has only one schema. Raises: NotFound."""
    known = keys(store)
    if name in known:
        return ModelKey(name)
    matching = [key for key in known if key.rpartition("/")[0] == name]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InvalidInput(f"{name!r} has several schemas, name one: {', '.join(matching)}")
    raise NotFound(f"no model {name!r}; known: {', '.join(known) or 'none yet'}")


def roll_back(store: ModelStore, key: ModelKey, to: Generation | None, now: float) -> Published:
    """Make an old snapshot the newest, and freeze learning until `resume`.

    The old sums are published with today's sequences: what was learnt in between is given up, not learnt again.
    Batches that come while the model is frozen wait. Without `to`: the generation before the newest.
    Raises: InvalidInput without `to` where the newest is itself a rollback, for what came before it is what it undid;
    NotFound if that generation is not kept; Conflict if the trainer always wrote first.
    """

    target = _target(store, newest(store, key), to)
    old = decode_snapshot(store.read(key, target))
    return _change(
        store,
        key,
        lambda current: replace(
            old,
            sequences=current.snapshot.sequences,
            published_at=now,
            frozen=True,
            reason=f"rollback to {target}",
        ),
    )


def _target(store: ModelStore, current: Published, to: Generation | None) -> Generation:
    """The generation meant, fixed before anything is written: a trainer that writes meanwhile must not move it."""
    kept, snapshot = store.history(current.key), current.snapshot
    if to is None and snapshot.frozen:
        raise InvalidInput(f"{current.key} is frozen after a {snapshot.reason}: name the generation to go back to")
    target = to if to is not None else next((one for one in kept if one < current.generation), None)
    if target is None:
        raise NotFound(f"{current.key} has no generation before {current.generation}")
    if target not in kept:
        raise NotFound(f"{current.key} keeps no generation {target}; kept: {', '.join(map(str, kept))}")
    return target


def resume(store: ModelStore, key: ModelKey, now: float) -> Published:
    """Let a frozen model learn again; batches that waited are learnt. Does nothing to one that is not frozen."""
    if not newest(store, key).snapshot.frozen:
        return newest(store, key)
    return _change(
        store, key, lambda current: replace(current.snapshot, frozen=False, published_at=now, reason="resumed")
    )


def _change(store: ModelStore, key: ModelKey, change: Callable[[Published], Snapshot]) -> Published:
    for _ in range(_ATTEMPTS):
        current = newest(store, key)
        changed = change(current)
        try:
            generation = store.publish(key, encode_snapshot(changed), if_generation=current.generation)
        except Conflict:
            continue
        return Published(key, generation, changed)
    raise Conflict(f"{key}: somebody else wrote {_ATTEMPTS} times in a row; try again")
