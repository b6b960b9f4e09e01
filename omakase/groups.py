"""The groups of arms that a configuration deals people to, and since when it has dealt them as it does now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from omakase.allocations import Allocations, arm_name
from omakase.config import Product
from omakase.core.allocation import Schedule
from omakase.core.errors import NotFound
from omakase.core.suggestion import suggest
from omakase.stretches import newest_stretch

Kind: TypeAlias = Literal["experiment", "share", "holdout"]


@dataclass(frozen=True, slots=True)
class Group:
    """Arms that people are dealt to together: those of an experiment, or a placement's own, or who is held out there.

    The first arm is what the others are compared to. `shares` are by arm, in any unit, since `dealt_since`; results are
    wanted since `since`. Units: both in Unix seconds.
    """

    kind: Kind
    name: str
    placements: Sequence[str]
    shares: Mapping[str, float]
    dealt_since: float = 0.0
    since: float = 0.0

    @property
    def is_dealt_alike(self) -> bool:
        """Whether the shares are those of all the time that results are wanted of."""
        return self.since >= self.dealt_since


def groups_of(product: Product, ledgers: Sequence[Allocations], now: float, since: float | None = None) -> list[Group]:
    """Every group of a configuration: experiments, placements' own variants, then the holdout.

    `ledgers` are newest first, see `omakase.stretches`; without any, shares are those configured. Without `since`,
    results are wanted for as long as people have been dealt as they are now. Units: now and since in Unix seconds.
    """
    groups = []
    for name, experiment in product.experiments.items():
        layer = product.layer_of(experiment.placements[0])
        arms = {arm_name(name, variant): variant for variant in experiment.variants}
        history = [one.layers[layer] for one in ledgers if layer in one.layers]
        configured = {arm: float(experiment.variants[variant].share) for arm, variant in arms.items()}
        dealt, shares = _dealt(history, configured, now)
        groups.append(
            Group("experiment", name, experiment.placements, {arms[arm]: share for arm, share in shares.items()}, dealt)
        )
    for name, placement in product.placements.items():
        history = [one.placements[name] for one in ledgers if name in one.placements]
        configured = {variant: float(one.share) for variant, one in placement.variants.items()}
        dealt, shares = _dealt(history, configured, now)
        groups.append(Group("share", name, [name], shares, dealt))
    if product.holdout is not None:
        for name, placement in product.placements.items():
            held = placement.holdout or next(iter(placement.variants))
            groups.append(Group("holdout", name, [name], {held: 1.0}))
    return [replace(group, since=group.dealt_since if since is None else since) for group in groups]


def chosen(groups: Sequence[Group], placement: str, experiment: str) -> list[Group]:
    """Those at a placement, and of an experiment, where they are named. Raises: NotFound for a name nothing has."""
    places = {place for group in groups for place in group.placements}
    experiments = {group.name for group in groups if group.kind == "experiment"}
    if placement and placement not in places:
        raise NotFound(f"no placement {placement!r}{suggest(placement, places)}")
    if experiment and experiment not in experiments:
        near = suggest(experiment, experiments)
        hint = "For one that was taken out, give the configuration it ran with"
        raise NotFound(f"no experiment {experiment!r} in the configuration{near}. {hint}")
    return [
        group
        for group in groups
        if (not placement or placement in group.placements)
        and (not experiment or (group.kind, group.name) == ("experiment", experiment))
    ]


def _dealt(
    history: Sequence[Schedule], configured: Mapping[str, float], now: float
) -> tuple[float, Mapping[str, float]]:
    if not history:
        return 0.0, configured
    stretch = newest_stretch(history, list(configured), now)
    return stretch.since, {arm: float(share) for arm, share in stretch.shares.items()}
