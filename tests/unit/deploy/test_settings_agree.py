"""What manifests tell each process is what its settings class takes, and what they name is what the product names."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from batch.jobs import JOBS
from gateway.recommenders import Targets
from omakase.adapters import ADAPTERS
from omakase.adapters.uri import Uri
from omakase.cloud.grants import WORKLOADS
from omakase.config import Product, load_product
from omakase.settings import (
    PREFIX,
    BackofficeSettings,
    BatchSettings,
    GatewaySettings,
    RecommenderSettings,
    Settings,
    TrackingSettings,
    TrainerSettings,
)
from tests.unit.deploy.rendered import ALL, K8S, OVERLAYS, Container, containers, find, of_kind, render

SETTINGS: dict[str, type[Settings]] = {
    "gateway": GatewaySettings,
    "recommender": RecommenderSettings,
    "tracking": TrackingSettings,
    "dataflow": TrainerSettings,
    "batch": BatchSettings,
}
# Which adapter each variable names.
PORTS = {
    "bus": ("event bus", "event log"),
    "deliveries": ("delivery store", "touches", "orders", "credits", "forgotten"),
    "contexts": ("context store",),
    "catalogue": ("catalogue store",),
    "models": ("model store",),
    "warehouse": ("warehouse",),
    "spool": ("delivery log", "spool reader"),
}


def ours(name: str) -> list[Container]:
    return [container for container in containers(render(name)) if container.module]


def settings_of(container: Container) -> Settings:
    """As the process reads them. Raises: InvalidConfig."""
    assert container.module is not None
    return SETTINGS[container.module].from_environ(container.environ())


def product_of(name: str, path: Path) -> Product:
    path.write_text(find(render(name), "ConfigMap", "product")["data"]["product.yaml"])
    return load_product(path)


@pytest.mark.parametrize("name", ALL)
def test_every_process_can_read_its_settings(name: str) -> None:
    modules = {container.module for container in ours(name)}
    assert modules >= {"gateway", "recommender", "tracking", "batch"}
    for container in ours(name):
        assert find_spec(f"{container.module}.__main__"), container.module
        told = {variable for variable in container.environ() if variable.startswith(PREFIX)}
        assert told == {PREFIX + field.upper() for field in settings_of(container).model_fields_set}


@pytest.mark.parametrize("name", ALL)
def test_every_address_has_an_adapter(name: str) -> None:
    for container in ours(name):
        settings = settings_of(container).model_dump(exclude_none=True)
        for field, ports in PORTS.items():
            if field in settings:
                scheme = Uri.parse(settings[field]).scheme
                known = {port for port, known in ADAPTERS if known == scheme}
                asked = {"event log"} if field == "bus" and container.module != "tracking" else {ports[0]}
                assert asked <= known, f"{container.workload}: {field} {settings[field]}"


@pytest.mark.parametrize("name", ALL)
def test_files_are_mounted_where_the_settings_say_and_nothing_is_written_to_the_image(name: str) -> None:
    for container in ours(name):
        mounts = {mount["mountPath"]: mount for mount in container.spec["volumeMounts"]}
        settings = settings_of(container)
        for file in (settings.config, settings.keys):
            mount = mounts[str(Path(file).parent)]
            assert mount["readOnly"] is True
            assert "subPath" not in mount, "a file mounted by itself is not followed"
        for field in ("spool", "state", "training"):
            if told := getattr(settings, field, None):
                path = Path(told.partition("?")[0].rpartition(":")[2])
                assert any(path.is_relative_to(mounted) for mounted in mounts if "/etc/" not in mounted), told


@pytest.mark.parametrize("name", ALL)
def test_the_product_is_valid_and_its_recommenders_are_deployed(name: str, tmp_path: Path) -> None:
    product = product_of(name, tmp_path / "product.yaml")
    Targets.of("{}").check(product)
    deployed = {settings_of(one).name for one in ours(name) if one.module == "recommender"}  # type: ignore[attr-defined]
    assert product.recommenders.keys() <= deployed
    for called, recommender in product.recommenders.items():
        assert recommender.target == f"dns:///recommender-{called}:50051"


@pytest.mark.parametrize("name", ALL)
def test_targets_are_headless_services_whose_pods_listen_there(name: str, tmp_path: Path) -> None:
    documents = render(name)
    named = {recommender.target for recommender in product_of(name, tmp_path / "product.yaml").recommenders.values()}
    named |= {one.environ()["OMAKASE_TRACKING"] for one in ours(name) if "OMAKASE_TRACKING" in one.environ()}
    for target in named:
        host, _, port = str(target).removeprefix("dns:///").partition(":")
        service = find(documents, "Service", host)["spec"]
        assert service["clusterIP"] == "None"
        assert [entry["port"] for entry in service["ports"]] == [int(port)]
        selector = service["selector"].items()
        behind = [one for one in ours(name) if selector <= one.pod["metadata"]["labels"].items()]
        assert behind
        for one in behind:
            assert one.environ()["OMAKASE_GRPC_ADDRESS"] == f"0.0.0.0:{port}"
            assert one.port("grpc") == int(port)


@pytest.mark.parametrize("name", OVERLAYS)
def test_commands_at_a_desk_and_services_use_the_same_addresses(name: str) -> None:
    """The product names them for `omakase cloud init`; the services have theirs by their variables."""
    desk = yaml.safe_load((K8S / "overlays" / name / "product.yaml").read_text())["adapters"]
    lines = (K8S / "overlays" / name / "addresses.env").read_text().splitlines()
    services = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert desk["bus"] in (services["bus"], services["trainer-bus"])
    assert services["trainer-bus"].startswith(f"{services['bus']}?subscription=")
    del services["trainer-bus"]
    assert desk == services | {"bus": desk["bus"]}


@pytest.mark.parametrize("name", ALL)
def test_every_job_exists(name: str) -> None:
    ran = set()
    for container in containers(render(name)):
        if container.module == "batch" and container.workload.startswith("CronJob"):
            jobs = container.spec["command"][3:]
            assert jobs
            assert set(jobs) <= JOBS.keys(), container.workload
            ran |= set(jobs)
    assert {"aggregate", "context-free", "retain", "forget"} <= ran


@pytest.mark.parametrize("name", ALL)
def test_who_forgets_people_for_an_operator_runs_only_when_asked_and_can_read_its_settings(name: str) -> None:
    assert find(render(name), "CronJob", "forget-person")["spec"]["suspend"] is True
    (container,) = [one for one in containers(render(name)) if one.workload == "CronJob/forget-person"]
    assert container.spec["command"] == ["omakase", "users", "forget"]
    settings = BackofficeSettings.from_environ(container.environ())
    services = {one.module: settings_of(one) for one in ours(name)}
    for field, module in (("contexts", "tracking"), ("deliveries", "tracking"), ("bus", "tracking")):
        assert getattr(settings, field) == getattr(services[module], field)
    assert settings.warehouse == services["batch"].warehouse  # type: ignore[attr-defined]
    mounts = {mount["mountPath"] for mount in container.spec["volumeMounts"]}
    assert {str(Path(file).parent) for file in (settings.config, settings.keys)} <= mounts
    for option in ("password_file", "ca_file"):
        if file := Uri.parse(settings.deliveries).options.get(option):
            assert str(Path(file).parent) in mounts


@pytest.mark.parametrize("name", ["staging", "prod"])
def test_every_identity_is_the_service_account_that_init_makes_for_it(name: str) -> None:
    accounts = of_kind(render(name), "ServiceAccount")
    assert {one["metadata"]["name"] for one in accounts} == WORKLOADS.keys() - {"trainer", "dataflow"}
    assert find(render("local"), "ServiceAccount", "trainer")
    bound = {one["metadata"]["name"]: one["metadata"]["annotations"] for one in accounts}
    for called, told in bound.items():
        email = told["iam.gke.io/gcp-service-account"]
        assert email.partition("@")[0] == f"omakase-{called}"
        assert email.endswith(".iam.gserviceaccount.com")
