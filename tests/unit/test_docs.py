"""The documents mention all there is: a key, variable, state, reason or metric that is not explained does not exist."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from annotated_types import BaseMetadata, Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from omakase import settings
from omakase.cli import app
from omakase.config import experiments, placements, schema
from omakase.config.sections import Section
from omakase.core.accounting import REDELIVERED, DeliveryEnd, EventEnd

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
CONFIGURATION = (DOCS / "configuration.md").read_text().replace("`", "")

SECTIONS: dict[str, type[Section]] = {
    "The file": schema.Product,
    "placements.<name>": placements.Placement,
    "placements.<name>.variants.<name>": placements.Variant,
    "placements.<name>.exposure": placements.Exposure,
    "experiments.<name>": experiments.Experiment,
    "experiments.<name>.ramp": experiments.RampStep,
    "holdout": experiments.Holdout,
    "policies.<name> of type linear_ts": schema.LinearThompsonPolicy,
    "policies.<name> of type logistic_ts": schema.LogisticThompsonPolicy,
    "policies.<name> of type epsilon_greedy": schema.EpsilonGreedyPolicy,
    "policies.<name> of type beta_ts": schema.BetaThompsonPolicy,
    "policies.<name> of type popularity": schema.PopularityPolicy,
    "policies.<name> of type uniform": schema.UniformPolicy,
    "models.<name>": schema.Model,
    "features.<name>": schema.Features,
    "A feature of type numeric": schema.NumericFeature,
    "A feature of type cyclic": schema.CyclicFeature,
    "A feature of type categorical": schema.CategoricalFeature,
    "A feature of type hashed": schema.HashedFeature,
    "A feature of type embedding": schema.EmbeddingFeature,
    "A feature of type cross": schema.CrossFeature,
    "A feature of type recent": schema.RecentFeature,
    "recommenders.<name>": schema.Recommender,
    "learning": schema.Learning,
    "propensities": schema.CountedPropensities,
    "traffic": schema.Traffic,
    "people": schema.People,
    "adapters": schema.Adapters,
}
SERVICES: dict[str, type[settings.Settings]] = {
    "Gateway": settings.GatewaySettings,
    "Recommender": settings.RecommenderSettings,
    "Tracking": settings.TrackingSettings,
    "Trainer (python -m dataflow)": settings.TrainerSettings,
    "Batch": settings.BatchSettings,
    "Back office": settings.BackofficeSettings,
}
# Their defaults stand for something else, which the document says in words.
TOLD_IN_WORDS = {"salt", "learning", "propensities", "traffic", "people", "adapters"}


def table(heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading, by first cell, without backticks."""
    _, found, rest = CONFIGURATION.partition(f"# {heading}\n")
    assert found, f"docs/configuration.md has no heading {heading!r}"
    lines = [line for line in rest.partition("\n#")[0].splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {first: cells for first, *cells in rows}


def default_of(field: FieldInfo) -> str:
    """As the document spells it."""
    if field.default is PydanticUndefined:
        return "required"
    return "none" if field.default is None else spelt(field.default)


def spelt(value: Any) -> str:
    if isinstance(value, Section):
        value = value.model_dump(exclude_unset=True)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {spelt(element)}" for key, element in value.items()) + "}"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def bounds_of(annotation: Any, metadata: list[Any]) -> Iterator[str]:
    """The numbers that a field may not pass."""
    for part in (*metadata, *getattr(annotation, "__metadata__", ())):
        if isinstance(part, FieldInfo):
            yield from bounds_of(None, part.metadata)
        elif isinstance(part, BaseMetadata) and isinstance(part, (Ge, Gt, Le, Lt)):
            (limit,) = dataclasses.astuple(part)
            yield f"{limit:.10f}".rstrip("0").rstrip(".")
    for part in get_args(annotation):
        yield from bounds_of(part, [])


def literals(path: str, call: str) -> set[str]:
    """The first argument of every call of a name, where it is written out."""
    tree = ast.parse((ROOT / path).read_text())
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == call)
    firsts = (node.args[0] for node in calls if node.args)
    return {node.value for node in firsts if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def test_every_section_of_the_configuration_has_a_heading() -> None:
    every_name = {**vars(schema), **vars(placements), **vars(experiments)}
    every = {one for one in every_name.values() if isinstance(one, type) and issubclass(one, Section)}
    assert every - {Section} == set(SECTIONS.values())


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_is_documented_with_its_default_and_its_bounds(heading: str) -> None:
    rows, fields = table(heading), SECTIONS[heading].model_fields
    assert rows.keys() == fields.keys()
    for key, field in fields.items():
        _, default, bounds = rows[key]
        if key not in TOLD_IN_WORDS:
            assert default == default_of(field), key
        for number in bounds_of(field.annotation, field.metadata):
            words = re.findall(r"-?[\d.]+\d|\d", bounds)
            assert number in words, f"{key}: the bound {number} is not in {bounds!r}"


@pytest.mark.parametrize("heading", SERVICES)
def test_every_variable_is_documented_with_its_default(heading: str) -> None:
    rows = {**table("All services"), **table(heading)}
    fields = SERVICES[heading].model_fields
    assert rows.keys() == {settings.PREFIX + name.upper() for name in fields}
    for name, field in fields.items():
        assert rows[settings.PREFIX + name.upper()][0] == default_of(field), name


def test_every_argument_of_the_streaming_job_is_documented_with_its_default() -> None:
    fields = settings.StreamingSettings.model_fields
    told = {name: cells[0] for name, cells in table("Streaming job (python -m dataflow.launch)").items()}
    assert told == {name: default_of(field) for name, field in fields.items()}


def test_every_rejection_reason_is_explained() -> None:
    reasons = literals("tracking/events.py", "Rejected") | literals("tracking/orders.py", "Rejected")
    reasons |= {f"delivery_id_{reason}" for reason in literals("omakase/core/ids.py", "InvalidDeliveryId")}
    assert len(reasons) >= 7
    told = (DOCS / "http-api.md").read_text()
    assert {reason for reason in reasons if f"| `{reason}` |" not in told} == set()


def test_every_state_of_a_delivery_and_of_an_event_is_explained() -> None:
    deliveries, _, events = (DOCS / "accounting.md").read_text().partition("## Events")
    for told, ends in ((deliveries, DeliveryEnd), (events, EventEnd)):
        assert {end for end in [*ends, REDELIVERED] if f"| `{end}` |" not in told} == set()


def test_every_metric_is_explained() -> None:
    told = (DOCS / "operations.md").read_text()
    metrics = {
        name.removesuffix("_total")
        for service in ("gateway", "recommender", "tracking")
        for path in (ROOT / service).glob("*.py")
        for kind in ("Counter", "Gauge", "Histogram")
        for name in literals(str(path.relative_to(ROOT)), kind)
    }
    assert len(metrics) > 10
    assert {name for name in metrics if not re.search(rf"`{name}(_total)?`", told)} == set()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_link_inside_the_repository_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        led = (path.parent / file) if file else path
        assert led.exists(), target
        if anchor:
            headings = re.findall(r"(?m)^#+ (.*)$", led.read_text().lower())
            assert anchor in {re.sub(r"[^\w\s-]", "", words).replace(" ", "-") for words in headings}, target


def told_commands(text: str) -> Iterator[list[str]]:
    """Every `omakase …` of code blocks, continued lines joined, and of code among the words."""
    for block in re.findall(r"(?ms)^ *```\w*\n(.*?)^ *```", text):
        for line in block.replace("\\\n", " ").splitlines():
            yield from (
                found.split() for found in re.findall(r"(?:^\s*|\$ |\$\()omakase ([a-z-]+ [^|;)#<]*)", f"{line} ")
            )
    for inline in re.findall(r"(?<!`)`omakase\s+([^`]*)`(?!`)", re.sub(r"(?ms)^ *```.*?^ *```", "", text)):
        yield inline.split()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_every_command_exists_with_its_options(path: Path) -> None:
    for words in told_commands(path.read_text()):
        command: Any = typer.main.get_command(app)
        while hasattr(command, "commands") and words and not words[0].startswith(("-", "…")):
            known = command.commands.get(words[0])
            assert known is not None, f"omakase {words[0]}"
            command, words = known, words[1:]
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= options, (command.name, words)
