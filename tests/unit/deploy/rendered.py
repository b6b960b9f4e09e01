"""What `kubectl kustomize` makes of deploy/k8s, and the parts of it that tests look at."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import pytest
import yaml

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy" / "k8s"
Document: TypeAlias = dict[str, Any]

# An overlay, and what a team may add to it.
OVERLAYS = ("local", "staging", "prod")
ADDITIONS = {
    "prod with mutual TLS": ("prod", "components/mutual-tls"),
    "prod with the bounded trainer": ("prod", "components/trainer"),
    "prod with a second recommender": ("prod", "recommenders/b"),
}
ALL = (*OVERLAYS, *ADDITIONS)


@dataclass(frozen=True)
class Container:
    """A container of a pod, with the pod and the overlay that it is in."""

    workload: str
    spec: Document
    pod: Document
    documents: Sequence[Document]

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def module(self) -> str | None:
        """What of this repository it runs; None for somebody else's program."""
        command = self.spec["command"]
        return str(command[2]) if command[:2] == ["python", "-m"] else None

    def environ(self) -> dict[str, str]:
        """Its variables as the process sees them. Raises: KeyError for a ConfigMap or a key that there is not."""
        return {entry["name"]: self._value(entry) for entry in self.spec.get("env", [])}

    def port(self, named: str | int) -> int:
        ports = {port["name"]: port["containerPort"] for port in self.spec["ports"]}
        return int(ports[named]) if isinstance(named, str) else named

    def _value(self, entry: Document) -> str:
        if "value" in entry:
            return str(entry["value"])
        (kind, reference), *_ = entry["valueFrom"].items()
        if kind == "configMapKeyRef":
            return str(find(self.documents, "ConfigMap", reference["name"])["data"][reference["key"]])
        assert kind == "fieldRef", kind
        label = str(reference["fieldPath"]).removeprefix("metadata.labels['").removesuffix("']")
        return str(self.pod["metadata"]["labels"][label])


def render(name: str) -> Sequence[Document]:
    """All documents of an overlay, or of one with an addition. Skips where there is no kubectl."""
    if shutil.which("kubectl") is None:
        pytest.skip("install kubectl to render deploy/k8s")
    return _rendered(name)


@cache
def _rendered(name: str) -> Sequence[Document]:
    if name in OVERLAYS:
        return _kustomize(K8S / "overlays" / name)
    overlay, addition = ADDITIONS[name]
    with TemporaryDirectory() as directory:
        here = Path(directory).resolve()
        shutil.copytree(K8S / "overlays" / overlay, here, dirs_exist_ok=True)
        kustomization = yaml.safe_load((here / "kustomization.yaml").read_text())
        kustomization[addition.partition("/")[0].replace("recommenders", "resources")].append(f"../../{addition}")
        for list_of in ("resources", "components"):
            away = (path.removeprefix("../../") for path in kustomization[list_of])
            kustomization[list_of] = [os.path.relpath(K8S / path, here) for path in away]
        (here / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return _kustomize(here)


def _kustomize(directory: Path) -> Sequence[Document]:
    done = subprocess.run(["kubectl", "kustomize", directory], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr  # what is deprecated is told there
    return list(yaml.safe_load_all(done.stdout))


def find(documents: Sequence[Document], kind: str, name: str) -> Document:
    """Raises: KeyError."""
    for document in documents:
        if (document["kind"], document["metadata"]["name"]) == (kind, name):
            return document
    raise KeyError(f"{kind} {name}")


def of_kind(documents: Sequence[Document], *kinds: str) -> list[Document]:
    return [document for document in documents if document["kind"] in kinds]


def pod_of(document: Document) -> Document | None:
    """The template of its pods; None for what has none."""
    spec = document.get("spec", {})
    spec = spec.get("jobTemplate", {}).get("spec", spec)
    template: Document | None = spec.get("template")
    return template


def containers(documents: Sequence[Document]) -> Iterator[Container]:
    """All of all workloads."""
    for document in documents:
        pod = pod_of(document)
        for spec in pod["spec"]["containers"] if pod else ():
            yield Container(f"{document['kind']}/{document['metadata']['name']}", spec, pod or {}, documents)
