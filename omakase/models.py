"""What people do to a model by hand: look at it, put another in its place, freeze it, let it learn again, add to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from omakase.configured import ConfiguredModel
from omakase.core.errors import Conflict, Corrupt, InvalidInput, NotFound
from omakase.core.learners import Learner
from omakase.core.posterior import Statistics
from omakase.counts import is_model
from omakase.ports.model_store import ABSENT, Generation, ModelKey, ModelStore
from omakase.ports.pending_batches import PendingBatches
from omakase.ports.training_state import TrainingState
from omakase.snapshots import Snapshot, decode_snapshot, encode_snapshot

# Sequences that are no trainer's: how far another model's examples, or a log, have been added.
REBUILD, WARM_START = "rebuild:", "warm-start:"
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot and its generation."""

    key: ModelKey
    generation: Generation
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Damaged:
    """A model whose newest snapshot cannot be read, and why; ABSENT where there is none, or its number is unknown."""

    key: ModelKey
    generation: Generation
    fault: str


def keys(store: ModelStore) -> list[ModelKey]:
    """The models in the store; counts, which live there too, are not among them."""
    return [key for key in store.keys() if is_model(key)]  # noqa: SIM118  a store is no dict


def survey(store: ModelStore) -> list[Published | Damaged]:
    """Every model, also those whose newest snapshot is corrupt. Raises: Unavailable."""
    return [look(store, key) for key in keys(store)]


def newest(store: ModelStore, key: ModelKey) -> Published:
    """Raises: NotFound naming the models there are; Corrupt with the ways out."""
    try:
        found = store.latest(key)
        if found is None:
            raise NotFound(f"no model {key!r}; known: {', '.join(keys(store)) or 'none yet'}")
        return Published(key, found[1], decode_snapshot(found[0]))
    except Corrupt as error:
        raise Corrupt(
            f"the newest snapshot of {key} is corrupt: {error}. Make it anew with `omakase models rebuild {key}`, or "
            f"go back with `omakase models rollback {key}`"
        ) from error


def kept(store: ModelStore, key: ModelKey) -> Published | None:
    """The newest snapshot that can be read; None where there is none."""
    for generation in store.history(key):
        try:
            return Published(key, generation, decode_snapshot(store.read(key, generation)))
        except (Corrupt, NotFound):
            continue
    return None


def summary(one: Published | Damaged) -> dict[str, object]:
    """What people are told of a model, as JSON has it."""
    if isinstance(one, Damaged):
        return {"model": one.key, "generation": one.generation, "corrupt": one.fault}
    snapshot = one.snapshot
    statistics = snapshot.statistics
    clicks = statistics.outcomes["click"].energy if "click" in statistics.outcomes else 0.0
    return {
        "model": one.key,
        "generation": one.generation,
        "examples": statistics.examples,
        "click_rate": round(clicks / statistics.weight, 5) if statistics.weight else None,
        "dimensions": statistics.dimensions,
        "published_at": datetime.fromtimestamp(snapshot.published_at, UTC).isoformat(timespec="seconds"),
        "frozen": snapshot.frozen,
        "reason": snapshot.reason,
        "sequences": dict(snapshot.sequences),
    }


def resolve(store: ModelStore, name: str, besides: ModelKey | None = None) -> ModelKey:
    """The key that `name` means: a whole key, or a model's name where it has only one schema `besides` one.

    Raises: NotFound.
    """
    known = keys(store)
    if name in known:
        return ModelKey(name)
    matching = [key for key in known if key.rpartition("/")[0] == name and key != besides]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise InvalidInput(f"{name!r} has several schemas, name one: {', '.join(matching)}")
    raise NotFound(f"no model {name!r}; known: {', '.join(key for key in known if key != besides) or 'none yet'}")


def roll_back(
    store: ModelStore, key: ModelKey, to: Generation | None, now: float, settled: Mapping[str, int] | None = None
) -> Published:
    """Make an old snapshot the newest, and freeze learning until `resume`.

    The old sums are published with today's sequences: what was learnt in between is given up, not learnt again. What a
    rebuild or a warm start added in between may be added again. Where the newest snapshot is corrupt, `settled` says
    up to which batch each shard's are in it. Batches that come while the model is frozen wait. Without `to`: the newest
    readable generation before the newest.
    Raises: InvalidInput without `to` where the newest is itself a rollback, for what came before it is what it undid;
    NotFound if that generation is not kept; Conflict if the trainer always wrote first.
    """
    target = _target(store, key, to)
    old = decode_snapshot(store.read(key, target))
    repairs = {name: last for name, last in old.sequences.items() if is_repair(name)}

    def changed(current: Published | Damaged) -> Snapshot:
        if isinstance(current, Published):
            learnt = _learnt(current.snapshot)
        else:
            learnt = dict(old.sequences)
            for shard, last in (settled or {}).items():
                learnt[shard] = max(last, learnt.get(shard, 0))
        reason = f"rollback to {target}"
        return replace(
            old, sequences={**learnt, **repairs}, published_at=now, frozen=True, reason=reason, trusted_from=0.0
        )

    return change(store, key, changed)


def put(store: ModelStore, configured: ConfiguredModel, body: bytes, now: float) -> Published:
    """Make a snapshot from elsewhere the newest. A frozen model stays frozen, any other learns on from it.

    As with a rollback its sums are published with today's sequences: what was learnt here is given up.
    Raises: InvalidInput if it is no snapshot of this model that could be served; Corrupt if the newest cannot be read,
    so that nobody knows its sequences: roll back first; Conflict if the trainer always wrote first.
    """
    try:
        given = decode_snapshot(body)
        configured.believe(given)
    except Corrupt as error:
        raise InvalidInput(f"not a snapshot of {configured.key} that could be served: {error}") from None
    repairs = {name: last for name, last in given.sequences.items() if is_repair(name)}

    def changed(current: Published | Damaged) -> Snapshot:
        found = None if current.generation == ABSENT else _readable(current)
        learnt = {} if found is None else _learnt(found.snapshot)
        return replace(
            given,
            sequences={**learnt, **repairs},
            published_at=now,
            frozen=found is not None and found.snapshot.frozen,
            reason="put by hand",
            trusted_from=0.0,
        )

    return change(store, configured.key, changed)


def freeze(store: ModelStore, key: ModelKey, now: float) -> Published:
    """Keep a model as it is until `resume`: batches wait. Does nothing to one that is frozen."""
    found = newest(store, key)
    if found.snapshot.frozen:
        return found

    def changed(current: Published | Damaged) -> Snapshot:
        snapshot = _readable(current).snapshot
        return replace(snapshot, frozen=True, published_at=now, reason="freeze by hand", trusted_from=0.0)

    return change(store, key, changed)


def _learnt(snapshot: Snapshot) -> dict[str, int]:
    return {name: last for name, last in snapshot.sequences.items() if not is_repair(name)}


def is_repair(name: str) -> bool:
    """Whether a sequence is no trainer's."""
    return name.startswith((REBUILD, WARM_START))


def _target(store: ModelStore, key: ModelKey, to: Generation | None) -> Generation:
    """The generation meant, fixed before anything is written: a trainer that writes meanwhile must not move it."""
    current, generations = look(store, key), store.history(key)
    if to is None:
        if isinstance(current, Damaged):
            readable = kept(store, key)
            target = readable.generation if readable else None
        elif current.snapshot.frozen and not current.snapshot.reason.startswith("held"):
            raise InvalidInput(f"{key} is frozen after a {current.snapshot.reason}: name the generation to go back to")
        else:
            target = next((one for one in generations if one < current.generation), None)
        if target is None:
            raise NotFound(f"{key} has no generation before {current.generation}")
        return target
    if to not in generations:
        raise NotFound(f"{key} keeps no generation {to}; kept: {', '.join(map(str, generations))}")
    return to


def settled(state: TrainingState, batches: PendingBatches, shard: str, key: ModelKey) -> dict[str, int]:
    """Up to which batch a trainer's are in a published model: what `roll_back` asks where that cannot be read."""
    last = state.progress().sequences.get(key, 0)  # before the pending: what is committed in between stays pending
    waiting = [batch.first for batch in batches.pending() if batch.key == key]
    last = min([last, *(first - 1 for first in waiting)])
    return {shard: last} if last else {}


def resume(store: ModelStore, key: ModelKey, now: float) -> Published:
    """Let a frozen model learn again; batches that waited are learnt, whatever was predicted of them.

    Does nothing to one that is not frozen.
    """
    found = newest(store, key)
    if not found.snapshot.frozen:
        return found

    def changed(current: Published | Damaged) -> Snapshot:
        snapshot = _readable(current).snapshot
        return replace(snapshot, frozen=False, published_at=now, reason="resumed", trusted_from=0.0)

    return change(store, key, changed)


def extend(
    store: ModelStore,
    key: ModelKey,
    sums: Statistics,
    added: Mapping[str, tuple[int, int]],
    learner: Learner,
    now: float,
) -> Published:
    """Add sums to a model, which need not be there yet, exactly once.

    `added` says from and to which number of each sequence they lead; nothing else may have led there meanwhile.
    Raises: Conflict if somebody else added the same, or always wrote first; Corrupt if the model cannot be read, or
    the sums could not be served.
    """
    model, _, schema_id = key.rpartition("/")
    new = Snapshot(model, schema_id, Statistics.empty(sums.dimensions))

    def changed(current: Published | Damaged) -> Snapshot:
        snapshot = new if current.generation == ABSENT else _readable(current).snapshot
        for name, (first, _) in added.items():
            if snapshot.sequences.get(name, 0) != first:
                raise Conflict(f"{name} was added to {key} by somebody else meanwhile")
        before = snapshot.statistics if snapshot.statistics.dimensions else Statistics.empty(sums.dimensions)
        statistics = learner.absorb(before, sums)
        learner.believe(statistics)  # refuse what no recommender could serve
        sequences = {**snapshot.sequences, **{name: last for name, (_, last) in added.items()}}
        reason = snapshot.reason if snapshot.frozen else f"added {sums.examples} examples"
        return replace(
            snapshot, statistics=statistics, sequences=sequences, published_at=now, reason=reason, trusted_from=0.0
        )

    return change(store, key, changed)


def change(store: ModelStore, key: ModelKey, make: Callable[[Published | Damaged], Snapshot]) -> Published:
    """Publish what `make` makes of the newest snapshot, again where somebody else wrote meanwhile.

    Raises: Conflict if that happened too often; whatever `make` raises.
    """
    for _ in range(_ATTEMPTS):
        current = look(store, key)
        snapshot = make(current)
        try:
            generation = store.publish(key, encode_snapshot(snapshot), if_generation=current.generation)
        except Conflict:
            continue
        return Published(key, generation, snapshot)
    raise Conflict(f"{key}: somebody else wrote {_ATTEMPTS} times in a row; try again")


def look(store: ModelStore, key: ModelKey) -> Published | Damaged:
    try:
        found = store.latest(key)
    except Corrupt as error:
        return Damaged(key, _generation(store, key), str(error))
    if found is None:
        return Damaged(key, ABSENT, "there is none")
    try:
        return Published(key, found[1], decode_snapshot(found[0]))
    except Corrupt as error:
        return Damaged(key, found[1], str(error))


def _generation(store: ModelStore, key: ModelKey) -> Generation:
    try:
        return store.generation(key)
    except Corrupt:
        return ABSENT


def _readable(current: Published | Damaged) -> Published:
    if isinstance(current, Damaged):
        raise Corrupt(f"the newest snapshot of {current.key} is corrupt: {current.fault}")
    return current
