"""The experiments as they are in force: who takes part now, and what will change when."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from gateway.admin.call import PREFIX, Calling
from gateway.admin.placements import VariantAnswer, allocations_of, variants_of
from gateway.admin.told import problems
from omakase.allocations import Allocations, arm_name
from omakase.config import Product
from omakase.core.errors import NotFound
from omakase.core.suggestion import suggest

router = APIRouter(prefix=f"{PREFIX}/experiments", tags=["admin"])


class StepAnswer(BaseModel):
    """Shares by variant from a moment on, in basis points of the layer's people."""

    at: datetime
    shares: dict[str, int]


class ExperimentAnswer(BaseModel):
    """An experiment. `target` has the values that the context must have; `changes` are ramp steps to come."""

    name: str
    layer: str
    placements: list[str]
    target: dict[str, list[str | bool | float]]
    variants: list[VariantAnswer]
    changes: list[StepAnswer]


class ExperimentsAnswer(BaseModel):
    """All of them, and the digest of their configuration. Units: holdout in basis points of everybody."""

    configuration: str
    holdout: int
    experiments: list[ExperimentAnswer]


@router.get("", responses=problems(503), summary="All experiments")
async def list_experiments(call: Calling) -> ExperimentsAnswer:
    revision, allocations = call.admin.configuration.in_force, await allocations_of(call.admin)
    product, now = revision.product, call.admin.clock.now()
    return ExperimentsAnswer(
        configuration=revision.digest,
        holdout=product.holdout.share if product.holdout else 0,
        experiments=[_experiment(name, product, allocations, now) for name in product.experiments],
    )


@router.get("/{name}", responses=problems(404, 503), summary="One experiment")
async def get_experiment(name: str, call: Calling) -> ExperimentAnswer:
    product = call.admin.configuration.in_force.product
    if name not in product.experiments:
        raise NotFound(f"no such experiment{suggest(name, product.experiments)}")
    call.note(name)
    return _experiment(name, product, await allocations_of(call.admin), call.admin.clock.now())


def _experiment(name: str, product: Product, allocations: Allocations, now: float) -> ExperimentAnswer:
    experiment = product.experiments[name]
    layer = product.layer_of(experiment.placements[0])
    schedule = allocations.layers.get(layer)

    def own(shares: Mapping[str, int]) -> dict[str, int]:
        """Of a layer's shares those of this experiment, by variant."""
        return {variant: shares.get(arm_name(name, variant), 0) for variant in experiment.variants}

    return ExperimentAnswer(
        name=name,
        layer=layer,
        placements=list(experiment.placements),
        target={fact: list(wanted) for fact, wanted in experiment.target.items()},  # type: ignore[arg-type]
        variants=variants_of(experiment.variants, own(schedule.at(now).shares) if schedule else None),
        changes=[
            StepAnswer(at=datetime.fromtimestamp(start, UTC), shares=own(shares))
            for start, shares in (schedule.changes(now) if schedule else ())
        ],
    )
