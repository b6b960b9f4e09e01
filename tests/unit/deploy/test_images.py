"""What is put into images: what a process needs, pinned, and nothing else."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from omakase import __version__
from tests.unit.deploy.rendered import ALL, ROOT, containers, render

IMAGES = ROOT / "deploy" / "images"
# By the name that manifests use.
FILES = {"omakase-serving": IMAGES / "serving.Dockerfile", "omakase-trainer": IMAGES / "trainer.Dockerfile"}
LOCAL = ("omakase", "gateway", "recommender", "tracking", "dataflow", "batch")


def copied(path: Path) -> list[str]:
    """What of this repository an image takes."""
    lines = [line.split() for line in path.read_text().splitlines() if line.startswith("COPY ")]
    return [source for words in lines if not words[1].startswith("--from=") for source in words[1:-1]]


def packages_of(lock: str) -> set[str]:
    return set(re.findall(r"(?m)^([a-z0-9-]+)(?:\[\S+\])?==", (ROOT / lock).read_text()))


def test_serving_images_carry_no_beam() -> None:
    locks = [name for name in copied(FILES["omakase-serving"]) if name.endswith(".lock")]
    assert locks == ["requirements-gcp.lock"]
    packages = packages_of(locks[0])
    assert {"grpcio", "uvicorn", "numpy", "google-cloud-pubsub", "google-cloud-storage", "redis"} <= packages
    assert "apache-beam" not in packages
    assert "dataflow" not in copied(FILES["omakase-serving"])


def test_the_trainer_s_image_has_beam_and_the_cloud_s_adapters() -> None:
    locks = [name for name in copied(FILES["omakase-trainer"]) if name.endswith(".lock")]
    packages = set.union(*(packages_of(lock) for lock in locks))
    assert {"apache-beam", "google-cloud-pubsub", "google-cloud-storage", "google-cloud-bigquery"} <= packages


def test_locks_that_one_image_installs_name_the_same_versions() -> None:
    pins = [
        dict(re.findall(r"(?m)^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text()))
        for lock in copied(FILES["omakase-trainer"])
        if lock.endswith(".lock")
    ]
    both = set.intersection(*(set(one) for one in pins))
    assert len(both) > 20
    assert {name for name in both if len({one[name] for one in pins}) > 1} == set()


@pytest.mark.parametrize("image", FILES)
def test_what_an_image_takes_is_there_and_is_sent_to_the_builder(image: str) -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    sent = {rule[1:] for rule in rules if rule.startswith("!")}
    for source in copied(FILES[image]):
        assert (ROOT / source).exists(), source
        assert any(source == rule or source.startswith(f"{rule}/") for rule in sent), source
    assert not any(fnmatch(secret, rule) for secret in ("keys.yaml", "data", ".git", "tests") for rule in sent)


@pytest.mark.parametrize("image", FILES)
def test_nothing_is_installed_without_a_hash_and_nobody_is_root(image: str) -> None:
    text = FILES[image].read_text()
    installs = [line for line in re.sub(r"\\\n", " ", text).splitlines() if " install " in line]
    assert installs
    for line in installs:
        assert "--require-hashes --only-binary :all:" in line
        assert set(re.findall(r"-r (\S+)", line)) == {
            f"/build/{name}" for name in copied(FILES[image]) if "lock" in name
        }
    assert re.search(r"(?m)^ARG PYTHON=python:3\.11\.\d+-slim-\w+$", text), "the interpreter is pinned"
    assert re.search(r"(?m)^USER 10001:10001$", text)
    assert "HEALTHCHECK" not in text  # the orchestrator asks, see the probes
    assert text.count("org.opencontainers.image.") >= 4


@pytest.mark.parametrize("name", ALL)
def test_what_a_pod_runs_is_in_its_image(name: str) -> None:
    for container in containers(render(name)):
        path = container.spec["image"].partition(":")[0]
        image = "omakase-" + path.rpartition("/")[2].removeprefix("omakase-") if "omakase" in path else path
        if image not in FILES:
            assert container.module is None, container.workload
            continue
        has = set(copied(FILES[image]))
        if container.module is None:
            assert container.spec["command"][0] == "omakase"
            continue
        assert container.module in has, container.workload
        assert needed(container.module) <= has, container.workload


def needed(module: str) -> set[str]:
    """The packages of this repository that a process's own package imports by name."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.submodule_search_locations
    texts = [path.read_text() for place in spec.submodule_search_locations for path in Path(place).rglob("*.py")]
    imported = {word for text in texts for word in re.findall(r"(?m)^\s*(?:from|import) (\w+)", text)}
    return imported & set(LOCAL)


@pytest.mark.parametrize("name", ALL)
def test_no_image_is_whatever_is_newest(name: str) -> None:
    for container in containers(render(name)):
        tag = container.spec["image"].rpartition(":")[2]
        assert tag not in ("latest", ""), container.workload
        assert re.search(r"\d", tag) or (name, tag) == ("local", "local"), container.spec["image"]


def test_overlays_name_the_version_of_the_code() -> None:
    for overlay in ("staging", "prod"):
        told = yaml.safe_load((ROOT / "deploy" / "k8s" / "overlays" / overlay / "kustomization.yaml").read_text())
        assert {image["newTag"] for image in told["images"]} == {__version__}


def test_the_local_overlay_runs_the_emulators_that_the_tests_run() -> None:
    versions = dict(
        re.findall(r"/([\w-]+) v([\d.]+)", (ROOT / "tests" / "counterparts" / "tools" / "go.mod").read_text())
    )
    images = {container.spec["image"] for container in containers(render("local"))}
    for name in ("fake-gcs-server", "bigquery-emulator"):
        assert any(image.endswith(f"/{name}:{versions[name]}") for image in images), versions[name]
