"""What a learner sees, frozen and named by its schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import accumulate

from omakase.core.errors import InvalidInput
from omakase.core.features.checks import misfits_of
from omakase.core.features.encoders import Factor, Factors
from omakase.core.features.kinds import Feature, Recent
from omakase.core.features.sides import SideEncoder
from omakase.core.values import Facts

# Facts that every context has, as numbers: the hour (0 to 23) and the weekday (0 is Monday) where the placement is.
DERIVED = frozenset({"hour", "weekday"})


@dataclass(frozen=True)
class FeatureSpec:
    """What a learner sees of an item and of a context. Frozen: a change is a new `schema_id` and a new belief.

    `kind` is the kind of learner: what one learnt means nothing to another.
    """

    item: tuple[Feature, ...]
    context: tuple[Feature, ...] = ()
    kind: str = "linear"

    def __post_init__(self) -> None:
        for side in (self.item, self.context):
            names = [feature.name for feature in side]
            if len(set(names)) < len(names):
                raise InvalidInput(f"a feature is named twice in {names}")
        for misfit in misfits_of(self.item, self.context):
            name = (self.item if misfit.side == "item" else self.context)[misfit.position].name
            raise InvalidInput(f"{misfit.side} feature {name!r}: {misfit.field}: {misfit.message}")

    @cached_property
    def item_width(self) -> int:
        """p, the constant included."""
        return 1 + sum(feature.width for feature in self.item)

    @cached_property
    def context_width(self) -> int:
        """m."""
        return sum(feature.width for feature in self.context)

    @cached_property
    def dimensions(self) -> int:
        """d = p·(1 + m)."""
        return self.item_width * (1 + self.context_width)

    @cached_property
    def schema_id(self) -> str:
        """Twelve hexadecimal digits that change whenever the meaning of a coordinate may have."""
        described = [[{"kind": f.kind, **asdict(f)} for f in side] for side in (self.item, self.context)]
        if self.kind != "linear":
            described.append([{"kind": self.kind}])
        return sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def recents(self) -> tuple[tuple[Recent, slice], ...]:
        """The features of the context that need the last clicks, each with the columns of its item embedding."""
        starts = dict(
            zip((f.name for f in self.item), accumulate((f.width for f in self.item), initial=1), strict=False)
        )
        found = (feature for feature in self.context if isinstance(feature, Recent))
        return tuple((f, slice(starts[f.of], starts[f.of] + f.dimensions)) for f in found)

    def encode_item(self, facts: Facts) -> Factor:
        """Shapes: (p,). Raises: InvalidFeature naming the feature and what it takes."""
        return self._item_encoder.one(facts)

    def encode_items(self, facts: Sequence[Facts]) -> tuple[Factors, dict[int, str]]:
        """What `encode_item` makes of each, bit for bit, and by row why some do not fit: these rows are zeros.

        Shapes: (n, p). Cost: a few microseconds an item.
        """
        return self._item_encoder.many(facts)

    def encode_context(self, facts: Facts) -> Factor:
        """Shapes: (m,). Raises: InvalidFeature naming the feature and what it takes."""
        return self._context_encoder.one(facts)

    @cached_property
    def _item_encoder(self) -> SideEncoder:
        return SideEncoder(self.item, constant=True)

    @cached_property
    def _context_encoder(self) -> SideEncoder:
        return SideEncoder(self.context, constant=False)
