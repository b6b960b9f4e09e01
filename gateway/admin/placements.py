"""The placements as they are in force, with the shares that people have now."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.admin.call import PREFIX, Admin, Calling
from gateway.admin.told import problems
from omakase.allocations import Allocations, in_force
from omakase.config import Product
from omakase.config.placements import Variant
from omakase.core.errors import NotFound
from omakase.core.suggestion import suggest

router = APIRouter(prefix=f"{PREFIX}/placements", tags=["admin"])


class VariantAnswer(BaseModel):
    """`share` is configured, `share_now` what the ledger gives people now; null before it has any. Basis points."""

    name: str
    share: int
    share_now: int | None
    policy: str
    model: str | None
    recommender: str


class PlacementAnswer(BaseModel):
    """A placement."""

    name: str
    slots: int
    max_limit: int
    time_zone: str
    layer: str
    variants: list[VariantAnswer]
    shadows: list[VariantAnswer]
    experiments: list[str]


class PlacementsAnswer(BaseModel):
    """All of them, and the digest of the configuration that they are of."""

    configuration: str
    placements: list[PlacementAnswer]


@router.get("", responses=problems(503), summary="All placements")
async def list_placements(call: Calling) -> PlacementsAnswer:
    revision, allocations = call.admin.configuration.in_force, await allocations_of(call.admin)
    product = revision.product
    found = [_placement(name, product, allocations, call.admin.clock.now()) for name in product.placements]
    return PlacementsAnswer(configuration=revision.digest, placements=found)


@router.get("/{name}", responses=problems(404, 503), summary="One placement")
async def get_placement(name: str, call: Calling) -> PlacementAnswer:
    product = call.admin.configuration.in_force.product
    if name not in product.placements:
        raise NotFound(f"no such placement{suggest(name, product.placements)}")
    call.note(name)
    return _placement(name, product, await allocations_of(call.admin), call.admin.clock.now())


async def allocations_of(admin: Admin) -> Allocations:
    """What is in force; nothing where nothing was ever settled. Raises: Unavailable."""
    return await admin.blocking(in_force, admin.models) or Allocations()


def variants_of(variants: Mapping[str, Variant], now: Mapping[str, int] | None) -> list[VariantAnswer]:
    """`now`: the shares that people have, by variant; None where that is not known."""
    return [
        VariantAnswer(
            name=name,
            share=variant.share,
            share_now=None if now is None else now.get(name, 0),
            policy=variant.policy,
            model=variant.model,
            recommender=variant.recommender,
        )
        for name, variant in variants.items()
    ]


def _placement(name: str, product: Product, allocations: Allocations, now: float) -> PlacementAnswer:
    placement, schedule = product.placements[name], allocations.placements.get(name)
    return PlacementAnswer(
        name=name,
        slots=placement.slots,
        max_limit=placement.max_limit,
        time_zone=placement.time_zone,
        layer=product.layer_of(name),
        variants=variants_of(placement.variants, schedule.at(now).shares if schedule else None),
        shadows=variants_of(placement.shadows, {shadow: one.share for shadow, one in placement.shadows.items()}),
        experiments=sorted(product.experiments_at(name)),
    )
