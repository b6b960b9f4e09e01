"""Alerts and dashboards are about what the code says, and every alert is explained."""

from __future__ import annotations

import ast
import importlib
import json
import re
from collections.abc import Iterator

import pytest
import yaml
from prometheus_client import REGISTRY

from tests.unit.deploy.rendered import K8S, ROOT, containers, find, of_kind, render

MONITORING = K8S / "components" / "monitoring"
# What defines metrics; those of the trainer and the loader are made when they are asked for.
MODULES = (
    "gateway.metrics",
    "recommender.metrics",
    "tracking.api",
    "tracking.intake",
    "tracking.recent",
    "tracking.records",
    "tracking.traffic",
    "omakase.serving.configuration",
    "omakase.serving.refusals",
)
MADE_WHEN_ASKED = ("omakase/serving/gauges.py",)
ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def known() -> set[str]:
    for module in MODULES:
        importlib.import_module(module)
    families = [family for family in REGISTRY.collect() if family.name.startswith("omakase_")]
    names = {family.name + ending for family in families for ending in ENDINGS[family.type]}
    for path in MADE_WHEN_ASKED:
        constants = [node for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.Constant)]
        names |= {str(node.value) for node in constants if re.fullmatch(r"omakase_\w+", str(node.value))}
    return names


def named(expression: str) -> set[str]:
    return set(re.findall(r"\bomakase_\w+", expression))


def alerts() -> list[dict[str, str]]:
    rules = yaml.safe_load((MONITORING / "alerts.yaml").read_text())
    return [alert for group in rules["spec"]["groups"] for alert in group["rules"]]


def expressions() -> Iterator[tuple[str, str]]:
    for alert in alerts():
        yield alert["alert"], alert["expr"]
    for panel in json.loads((MONITORING / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


def test_alerts_and_dashboards_name_metrics_that_there_are() -> None:
    metrics, told = known(), list(expressions())
    assert len(told) > 30
    assert {(title, name) for title, text in told for name in named(text) - metrics} == set()
    assert all(named(text) or "kube_" in text for _, text in told)


def test_labels_that_are_asked_for_are_those_of_the_metric() -> None:
    known()
    labels = {
        family.name + ending: set(getattr(REGISTRY._names_to_collectors[family.name], "_labelnames", ()))
        for family in REGISTRY.collect()
        if family.name in REGISTRY._names_to_collectors
        for ending in ENDINGS.get(family.type, ("",))
    }
    checked = 0
    for title, text in expressions():
        for name, asked in re.findall(r"\b(omakase_\w+)\{([^}]*)\}", text):
            for label in re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", asked):
                assert label in labels[name], f"{title}: {name} has no label {label}"
                checked += 1
    assert checked > 5


def test_parentheses_and_braces_are_paired() -> None:
    for title, text in expressions():
        assert all(text.count(opening) == text.count(closing) for opening, closing in ("()", "{}", "[]")), title


def test_every_alert_says_what_happens_and_is_explained() -> None:
    told = (ROOT / "docs" / "cloud.md").read_text()
    for alert in alerts():
        assert f"| `{alert['alert']}` |" in told, alert["alert"]
        assert alert["annotations"]["summary"]  # type: ignore[index]
        assert alert["labels"]["severity"] in ("page", "ticket")  # type: ignore[index]


@pytest.mark.parametrize("name", ["staging", "prod", "prod with the bounded trainer"])
def test_every_process_with_metrics_is_asked_for_them(name: str) -> None:
    documents = render(name)
    asked = set()
    for monitoring in of_kind(documents, "PodMonitoring"):
        selector = monitoring["spec"]["selector"]
        apps = set(selector.get("matchLabels", {}).values())
        apps |= {value for expression in selector.get("matchExpressions", ()) for value in expression["values"]}
        asked |= {(app, endpoint["port"]) for app in apps for endpoint in monitoring["spec"]["endpoints"]}
    shown = set()
    for container in containers(documents):
        for port in container.spec.get("ports", ()):
            if port["name"] != "grpc":
                shown.add((container.pod["metadata"]["labels"]["app"], port["name"]))
    assert shown <= asked


def test_what_pods_are_scaled_by_is_a_metric_by_the_name_that_managed_prometheus_gives_it() -> None:
    scaled_by = set()
    for scaler in of_kind(render("prod"), "HorizontalPodAutoscaler"):
        for metric in scaler["spec"]["metrics"]:
            source = metric.get("pods") or metric.get("external")
            if source:
                system, name, kind = source["metric"]["name"].split("|")
                assert (system, kind) == ("prometheus.googleapis.com", "gauge")
                scaled_by.add(name)
    assert len(scaled_by) == 3
    assert scaled_by <= known()


def test_the_dashboard_is_taken_along() -> None:
    config = find(render("prod"), "ConfigMap", "omakase-dashboard")
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(config["data"]["omakase.json"])["title"] == "Omakase"
