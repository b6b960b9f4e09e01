"""The ledger of allocations: who is in which arm, remembered so that a change of shares moves exactly the fewest.

One small document in the model store holds the allocation of every layer and of every placement's own variants, with
the ramp steps to come. A process that loads a configuration *settles* it: it reads the ledger, makes the new allocation
from the one in force, and publishes by compare-and-swap. Then it *follows* the ledger as it follows models.

- Gateways that settle the same configuration at once agree: the first publishes, the others find nothing to change.
- A ramp step that falls due needs no write: it stands in the ledger with its moment, and the allocation that it makes
  is a function of the one before and the shares. It moves people on all gateways alike, by their clocks.
- The configuration that was loaded last is in force. A gateway with an older one follows: people of experiments that it
  does not know are in no experiment there, those of variants that it does not know stay where they were.
- A layer without experiments, or whose experiments were taken out, keeps its entry, with nobody in it.
- Without the ledger, or with another salt, people are dealt anew. A damaged one is refused and the newest good one
  before it counts; where there is none, people are dealt anew and an error is logged: the shop goes on.
"""

from __future__ import annotations

import json
import logging
import zlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from omakase.config import Product
from omakase.config.placements import Placement
from omakase.core.allocation import BUCKETS, Allocation, Schedule
from omakase.core.errors import Conflict, Corrupt, InvalidInput, Unavailable
from omakase.ports.model_store import ABSENT, Generation, ModelKey, ModelStore
from omakase.serving.newest import Newest

log = logging.getLogger(__name__)

KEY = ModelKey("_allocations")
_ATTEMPTS = 5

# Shares by arm now, and what they will be from which moments on.
Plan: TypeAlias = tuple[Mapping[str, int], tuple[tuple[float, Mapping[str, int]], ...]]


@dataclass(frozen=True, slots=True)
class Allocations:
    """The schedules of every layer and of every placement's own variants, by name. Arms of a layer: `arm_name`."""

    layers: Mapping[str, Schedule] = field(default_factory=dict)
    placements: Mapping[str, Schedule] = field(default_factory=dict)


def arm_name(experiment: str, variant: str) -> str:
    """What a layer calls a variant of an experiment; a configured name has no `/`."""
    return f"{experiment}/{variant}"


def settled(found: Allocations, product: Product, now: float) -> Allocations:
    """What a configuration makes of what is in force. Guarantees: moves the fewest; settled again, it is the same."""
    layers = {product.layer_of(experiment.placements[0]) for experiment in product.experiments.values()}
    return Allocations(
        {
            layer: _settle(found.layers.get(layer), f"layer\0{layer}", _layer_plan(product, layer, now), now)
            for layer in sorted(layers | found.layers.keys())
        },
        {
            **found.placements,
            **{
                name: _settle(found.placements.get(name), f"variants\0{one.salt or name}", _variants_plan(one), now)
                for name, one in product.placements.items()
            },
        },
    )


def in_force(store: ModelStore) -> Allocations | None:
    """What was settled last; None if nothing ever was. Raises: Unavailable; Corrupt where nothing kept is fit."""
    newest = Newest(store, KEY, decode)
    newest.refresh()
    if newest.is_refused:
        raise Corrupt("the ledger of allocations is damaged, and none before it is kept")
    return newest.value


class Ledger:
    """Settles one configuration, then follows; what a Refresher loads. One for each configuration that is loaded."""

    def __init__(self, store: ModelStore, product: Product, now: Callable[[], float]) -> None:
        """`now` in Unix seconds."""
        self._store = store
        self._product = product
        self._now = now
        self._newest = Newest(store, KEY, decode)
        self._published: Generation = ABSENT

    def settle(self) -> Allocations:
        """The allocations by this configuration, from now on in force everywhere. Idempotent. Blocks.

        Raises: Unavailable if the store is away or too many others write: nothing is served before it is known who is
        where, for people would be dealt anew.
        """
        for _ in range(_ATTEMPTS):
            generation = self._store.generation(KEY)  # before reading: what is published meanwhile is a conflict
            self._newest.refresh()
            if self._newest.is_refused:
                log.error("no ledger of allocations that is kept can be read: people are dealt anew")
            found = self._newest.value or Allocations()
            wanted = settled(found, self._product, self._now())
            if wanted == found:
                return found
            try:
                self._published = self._store.publish(KEY, encode(wanted), if_generation=generation)
            except Conflict:
                continue
            log.info("the configuration's shares are settled: %s@%d", KEY, self._published)
            return wanted
        raise Unavailable("others keep changing the ledger of allocations")

    def follow(self) -> Allocations | None:
        """What somebody else has settled since; None if nobody has. Blocks."""
        is_news = self._newest.refresh() and self._newest.generation != self._published
        return self._newest.value if is_news else None


def encode(allocations: Allocations) -> bytes:
    """JSON; which arm owns each bucket is packed, and a step to come is its moment and shares. Some kB a layer."""
    sides = {"layers": allocations.layers, "placements": allocations.placements}
    document = {side: {name: _packed(one) for name, one in schedules.items()} for side, schedules in sides.items()}
    return json.dumps(document, separators=(",", ":")).encode()


def decode(body: bytes) -> Allocations:
    """Raises: Corrupt if the bytes are no ledger."""
    try:
        document = json.loads(body)
        layers, placements = (
            {str(name): _unpacked(packed) for name, packed in document[side].items()}
            for side in ("layers", "placements")
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise Corrupt(f"not a ledger of allocations: {error!r}") from error
    except (zlib.error, OverflowError, InvalidInput) as error:
        raise Corrupt(f"not a ledger of allocations: {error}") from error
    return Allocations(layers, placements)


def _packed(schedule: Schedule) -> dict[str, object]:
    first = schedule.allocations[0]
    arms = sorted(set(first.owners))
    place = {arm: i for i, arm in enumerate(arms)}
    buckets = np.array([place[owner] for owner in first.owners], dtype="<u2").tobytes()
    return {
        "salt": first.salt,
        "arms": arms,
        "buckets": b64encode(zlib.compress(buckets)).decode(),
        "since": schedule.since,
        "changes": schedule.changes(),
    }


def _unpacked(packed: Mapping[str, Any]) -> Schedule:
    arms = [str(arm) for arm in packed["arms"]]
    raw = zlib.decompressobj().decompress(b64decode(packed["buckets"], validate=True), 2 * BUCKETS)
    first = Allocation(str(packed["salt"]), tuple(arms[i] for i in np.frombuffer(raw, dtype="<u2").tolist()))
    changes = [
        (float(start), {str(arm): int(share) for arm, share in shares.items()}) for start, shares in packed["changes"]
    ]
    return Schedule.of(first, changes, float(packed["since"]))


def _settle(found: Schedule | None, salt: str, plan: Plan, now: float) -> Schedule:
    shares, changes = plan
    if found is None or found.at(now).salt != salt:
        return Schedule.of(Allocation.fresh(salt, shares), changes, now)
    current = found.at(now)
    if current.shares == shares and found.changes(now) == changes:
        return found
    return Schedule.of(current.to(shares), changes, now)


def _layer_plan(product: Product, layer: str, now: float) -> Plan:
    experiments = {
        name: one for name, one in product.experiments.items() if product.layer_of(one.placements[0]) == layer
    }

    def shares_at(moment: float) -> dict[str, int]:
        return {
            arm_name(name, variant): share
            for name, one in experiments.items()
            for variant, share in one.shares(moment).items()
            if share
        }

    before = shares = shares_at(now)
    changes = []
    for moment in sorted({start for one in experiments.values() for start in one.changes() if start > now}):
        after = shares_at(moment)
        if after != before:
            changes.append((moment, after))
        before = after
    return shares, tuple(changes)


def _variants_plan(placement: Placement) -> Plan:
    return {name: variant.share for name, variant in placement.variants.items() if variant.share}, ()
