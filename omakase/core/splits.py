"""How the people of one placement are split: holdout, experiments, variants, shadows.

In this order: who is held out sees the placement's holdout variant; whose bucket of the layer belongs to an experiment
that runs here and whose target their context meets, sees its variant; everybody else sees one of the placement's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from omakase.core.allocation import BUCKETS, UNDEALT, Schedule, bucket_of
from omakase.core.values import Facts, Value

AssignedBy: TypeAlias = Literal["share", "experiment", "holdout", "override"]


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variant that a person sees, the experiment it belongs to (empty outside of one), and why."""

    variant: str
    experiment: str
    assigned_by: AssignedBy


@dataclass(frozen=True, slots=True)
class Target:
    """Whom an experiment is for: every fact must be, or have in it, one of its values."""

    facts: Mapping[str, tuple[Value, ...]]

    def admits(self, context: Facts) -> bool:
        """A fact that the context does not have is not met."""
        return all(_has(context.get(fact), values) for fact, values in self.facts.items())


@dataclass(frozen=True, slots=True)
class Holdout:
    """The people who are in no experiment anywhere. Units: share in basis points of everybody.

    They are the first buckets by their own salt: whoever is held out stays so for as long as the share does not fall.
    """

    share: int
    salt: str

    def holds(self, unit: str) -> bool:
        return bucket_of(self.salt, unit) < self.share


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What it is to be in one arm of an experiment, at this placement."""

    assignment: Assignment
    target: Target


@dataclass(frozen=True, slots=True)
class Split:
    """One placement's. Immutable; the moment is an argument, so a step that falls due needs no new one.

    `enrolments` are the arms of the layer that run here. `variants` are the placement's own. `own` stands in where
    `shares` names a variant that is not among them: another gateway has a newer configuration, and the person stays
    where they were here.
    """

    holdout: Holdout | None
    held: Assignment
    layer: str
    layer_shares: Schedule | None
    enrolments: Mapping[str, Enrolment]
    shares: Schedule
    own: Schedule
    variants: Mapping[str, Assignment]
    shadow_salt: str
    shadows: Mapping[str, int]

    def assign(self, unit: str, context: Facts, now: float) -> Assignment:
        """Guarantees: sticky: the same for as long as shares, targeted facts and ramps are. Cost: 1 to 3 SHA-256.

        `unit` is a pseudonym, `context` what may be used of it. Units: now in Unix seconds.
        """
        if self.holdout is not None and self.holdout.holds(unit):
            return self.held
        if self.layer_shares is not None:
            enrolment = self.enrolments.get(self.layer_shares.at(now).owner(unit))
            if enrolment is not None and enrolment.target.admits(context):
                return enrolment.assignment
        if len(self.variants) == 1:
            return next(iter(self.variants.values()))
        return self.variants.get(self.shares.at(now).owner(unit)) or self.variants[self.own.at(now).owner(unit)]

    def shadows_of(self, unit: str) -> tuple[str, ...]:
        """The shadows that are scored for a person. Cost: nothing where there are none, else one SHA-256."""
        if not self.shadows:
            return ()
        bucket = bucket_of(self.shadow_salt, unit)
        return tuple(name for name, share in self.shadows.items() if bucket < share)

    def explain(self, unit: str, context: Facts, now: float) -> Iterator[str]:
        """Why `assign` says what it says, step by step."""
        if self.holdout is not None:
            bucket, held = bucket_of(self.holdout.salt, unit), self.holdout.holds(unit)
            yield f"holdout: bucket {bucket}; the first {self.holdout.share} are held out: {'yes' if held else 'no'}"
            if held:
                return
        if self.layer_shares is not None:
            yield from self._explain_layer(unit, context, now, self.layer_shares)
        assigned = self.assign(unit, context, now)
        if assigned.assigned_by == "share":
            yield _told("variants", self.shares, unit, now)
            if (owner := self.shares.at(now).owner(unit)) not in self.variants:
                yield f"variants: {owner} is of another configuration: {assigned.variant} here"
        if shadows := self.shadows_of(unit):
            yield f"shadows, scored and never shown: {', '.join(shadows)}"

    def _explain_layer(self, unit: str, context: Facts, now: float, layer_shares: Schedule) -> Iterator[str]:
        yield _told(f"layer {self.layer}", layer_shares, unit, now)
        owner = layer_shares.at(now).owner(unit)
        for start, allocation in zip(layer_shares.starts, layer_shares.allocations[1:], strict=True):
            if start > now and allocation.owner(unit) != owner:
                yield f"layer {self.layer}: {_name(allocation.owner(unit))} from {_moment(start)} on"
                break
        enrolment = self.enrolments.get(owner)
        if owner != UNDEALT and enrolment is None:
            yield f"experiment: {owner} does not run at this placement"
        if enrolment is not None:
            for fact, values in enrolment.target.facts.items():
                met = "met" if _has(context.get(fact), values) else "not met"
                wanted = " or ".join(map(str, values))
                yield f"target: {fact} is {wanted}; the context says {context.get(fact, 'nothing of it')}: {met}"


def _told(where: str, schedule: Schedule, unit: str, now: float) -> str:
    allocation = schedule.at(now)
    owner = allocation.owner(unit)
    owned = allocation.owners.count(owner)
    return f"{where}: bucket {bucket_of(allocation.salt, unit)} belongs to {_name(owner)}, as do {owned} of {BUCKETS}"


def _name(owner: str) -> str:
    return "no experiment" if owner == UNDEALT else owner


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _has(fact: Value | None, values: tuple[Value, ...]) -> bool:
    """Whether a fact is one of the values or has one of them. `True` is no 1 here."""
    elements = fact if isinstance(fact, tuple) else (fact,)
    return any(element == value and type(element) is type(value) for element in elements for value in values)
