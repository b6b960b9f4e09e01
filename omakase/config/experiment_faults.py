"""What does not fit together in experiments: placements, layers, shares, names, ramps, targets, holdouts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from omakase.config.document import Fault, Node, shorten
from omakase.config.references import layer_of, shown_at, unknown, unknown_name
from omakase.core.allocation import BUCKETS
from omakase.core.features import DERIVED


def faults_of(root: Node) -> Iterator[Fault]:
    """Everything about experiments that spans several fields."""
    placements = root.entries("placements")
    for experiment in root.entries("experiments").values():
        for name in experiment.elements("placements"):
            yield from unknown_name(name, placements, "placements")
        yield from _layers(experiment, placements)
        yield from _ramp(experiment)
        yield from _target(experiment)
    yield from _shares(root, placements)
    for placement in placements.values():
        yield from unknown(placement, "holdout", placement.entries("variants"), "variants")
    yield from _repeated_names(root, placements)


def _layers(experiment: Node, placements: dict[str, Node]) -> Iterator[Fault]:
    first: tuple[str, str] | None = None
    for name in experiment.elements("placements"):
        placement = placements.get(name.plain) if isinstance(name.plain, str) else None
        if placement is None:
            continue
        layer = layer_of(str(name.plain), placement)
        first = first or (str(name.plain), layer)
        if layer != first[1]:
            message = (
                f"{name.plain} is of layer {layer}, and {first[0]} of layer {first[1]}: an experiment runs in one "
                "layer; give these placements the same `layer`"
            )
            yield Fault(name.line, name.path, message)


def _ramp(experiment: Node) -> Iterator[Fault]:
    last: datetime | None = None
    for step in experiment.elements("ramp"):
        at = step.find("at")
        moment = _moment(at)
        if at is None or moment is None:
            continue
        if last is not None and moment <= last:
            yield Fault(at.line, at.path, f"{at.written} is not later than the step before: order them by time")
        last = moment


def _moment(at: Node | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(at.plain)) if at else None
    except ValueError:
        return None
    return moment if moment and moment.tzinfo else None


def _target(experiment: Node) -> Iterator[Fault]:
    for fact, node in experiment.entries("target").items():
        if fact in DERIVED:
            message = f"{fact} is derived after people are assigned: target what the request itself says"
            yield Fault(node.line, node.path, message)


def _shares(root: Node, placements: dict[str, Node]) -> Iterator[Fault]:
    """Of one layer together. Told where the last experiment goes over it."""
    used: dict[str, int] = {}
    for experiment in root.entries("experiments").values():
        written = (name.plain for name in experiment.elements("placements"))
        names = [name for name in written if isinstance(name, str) and name in placements]
        shares = [variant.find("share") for variant in experiment.entries("variants").values()]
        total = sum(share.plain for share in shares if share and type(share.plain) is int and share.plain > 0)
        if not names:
            continue
        layer = layer_of(names[0], placements[names[0]])
        used[layer] = used.get(layer, 0) + total
        if used[layer] > BUCKETS >= used[layer] - total:
            message = (
                f"the experiments of layer {layer} take {used[layer]} up to this one; all together they take at most "
                f"{BUCKETS}, which is everybody"
            )
            yield Fault(experiment.children["variants"].line, (*experiment.path, "variants"), message)


def _repeated_names(root: Node, placements: dict[str, Node]) -> Iterator[Fault]:
    """Reports and overrides know a variant by placement and name."""
    for name, placement in placements.items():
        first: dict[str, Node] = {}
        for variant, node in (*shown_at(name, root), *placement.entries("shadows").items()):
            if variant in first:
                message = f"{shorten(variant)} is at {name} already, in line {first[variant].line}: choose another name"
                yield Fault(node.line, node.path, message)
            first.setdefault(variant, node)
