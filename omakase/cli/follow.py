"""`omakase follow`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from omakase.cli.options import AsJson, ExistingDataDir
from omakase.deployment import Deployment
from omakase.endings import OPEN, UNREAD, Ending
from omakase.journeys import Happened, Journey, Lesson, Served
from omakase.journeys import follow as journey_of
from omakase.publications import Publication

_NO_RECORD = "tracking has no record of it: still in a spool, never recorded, or older than what is kept"
_STATES = {OPEN: "nothing learnt yet, its reward window is open", UNREAD: "on its way to the trainer"}


def follow(
    data_dir: ExistingDataDir,
    delivery_id: Annotated[str, typer.Argument(help="As the recommendation gave it.")],
    as_json: AsJson = False,
) -> None:
    """One delivery's way: how it was served, what happened to it, what was learnt of it and where that was published.

    Names no person. Works while the services run, and changes nothing.

    Example: `omakase follow AaH_ecjCXbdeEX2vPULkKwEBounQM2ls --data-dir data`
    """
    journey = journey_of(Deployment(data_dir / "configuration.yaml", data_dir), delivery_id)
    if as_json:
        print(json.dumps(asdict(journey), indent=2))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for when, what in _lines(journey):
        table.add_row(when, what)
    Console(soft_wrap=True, highlight=False, markup=False).print(table)


def _lines(journey: Journey) -> Iterator[tuple[str, str]]:
    yield _moment(journey.issued_at), f"issued: position {journey.position} of slate {journey.request_id}"
    if journey.served is None:
        yield "", _NO_RECORD
    else:
        yield from _served_lines(journey.served)
    for event in journey.events:
        yield _moment(event.received_at), _event_line(event)
    yield from _ending_lines(journey.ending)
    for lesson in journey.lessons:
        yield "", _lesson_line(lesson)
        if lesson.publication is None:
            yield "", f"  no kept generation of {lesson.model} holds it: it waits, or is in one that was thinned"
        else:
            yield from _publication_lines(lesson, lesson.publication)


def _served_lines(served: Served) -> Iterator[tuple[str, str]]:
    how = f"by {served.assigned_by or 'share'}" + (f", experiment {served.experiment}" if served.experiment else "")
    kind = "ranked as a shadow, shown to nobody" if served.shadow else "served"
    yield _moment(served.served_at), f"{kind} at {served.placement}: variant {served.variant}, assigned {how}"
    version = served.model_version or "no model"
    yield "", f"item {served.item_id}, ranked by {served.policy} with {version}, score {served.score:.4g}"
    predicted = "" if served.predicted_click is None else f"predicted click {served.predicted_click:.4g}, "
    known = "not known" if served.propensity is None else f"{served.propensity:.4g}"
    yield "", f"{predicted}propensity {known}, catalogue generation {served.catalogue_generation}"
    if served.trace:
        yield "", f"trace {served.trace.split('-')[1]}"


def _event_line(event: Happened) -> str:
    value = "" if event.value is None else f", value {event.value:g}"
    unwanted = f", unwanted: {event.unwanted}" if event.unwanted else ""
    parked = ", waits for the delivery's record" if event.is_parked else ""
    return f"{event.type}{value}{unwanted}{parked}"


def _ending_lines(ending: Ending) -> Iterator[tuple[str, str]]:
    yield "", f"state: {_STATES.get(ending.state, ending.state)}"
    if ending.session_until is not None:
        yield _moment(ending.session_until), "its session closes, if nothing more comes"
    if ending.open_until is not None:
        yield _moment(ending.open_until), "its reward window is over"
    for letter in ending.dead_letters:
        yield "", f"dead letter: {letter}"


def _lesson_line(lesson: Lesson) -> str:
    where = f"batch {lesson.sequence} of {lesson.model} (shard {lesson.shard})"
    if lesson.click is None:
        return f"taken back in {where}"
    kind = "learnt" if lesson.before is None else "corrected"
    reward = "" if lesson.reward is None else f", reward {lesson.reward:g}"
    return f"{kind} in {where}: click {lesson.click:g}{reward}, weight {lesson.weight:g}"


def _publication_lines(lesson: Lesson, found: Publication) -> Iterator[tuple[str, str]]:
    first = "first in" if found.is_first else f"after generation {found.after} and at the latest in"
    yield _moment(found.published_at), f"  published, {first} {lesson.model}@{found.generation}"
    if found.undone_by:
        yield "", f"  given up by the rollback {lesson.model}@{found.undone_by}"


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ", timespec="milliseconds").removesuffix("+00:00") + "Z"
