"""Every overlay renders into what a cluster takes, and every pod of it is locked down, watched and let go gently."""

from __future__ import annotations

from collections.abc import Iterator

import jsonschema
import pytest

from omakase.serving.rpc import LIVE
from tests.unit.deploy.rendered import ALL, Container, Document, containers, find, of_kind, pod_of, render
from tests.unit.deploy.schemas import validate


def workloads(name: str) -> Iterator[Document]:
    return (document for document in render(name) if pod_of(document))


def ours(name: str) -> Iterator[Container]:
    return (container for container in containers(render(name)) if container.module)


@pytest.mark.parametrize("name", ALL)
def test_every_document_fits_its_schema(name: str) -> None:
    for document in render(name):
        validate(document)


def test_a_slip_of_the_pen_is_found() -> None:
    deployment = find(render("prod"), "Deployment", "gateway")
    with pytest.raises(jsonschema.ValidationError, match="'replica' was unexpected"):
        validate({**deployment, "spec": {**deployment["spec"], "replica": 2}})
    route = find(render("prod"), "HTTPRoute", "events")
    with pytest.raises(jsonschema.ValidationError, match="'hostname' was unexpected"):
        validate({**route, "spec": {**route["spec"], "hostname": "x"}})


@pytest.mark.parametrize("name", ALL)
def test_every_container_may_do_as_little_as_possible_and_says_what_it_needs(name: str) -> None:
    for container in containers(render(name)):
        pod, spec = container.pod["spec"], container.spec
        assert pod["automountServiceAccountToken"] is False, container.workload
        assert pod["securityContext"]["runAsNonRoot"] is True, container.workload
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, container.workload
        assert spec["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, container.workload
        assert {"cpu", "memory"} <= spec["resources"]["requests"].keys(), container.workload
        assert spec["resources"]["limits"].keys() == {"memory"}, container.workload
        assert {mount["name"] for mount in spec["volumeMounts"]} <= {
            *(volume["name"] for volume in pod["volumes"]),
            *(claim["metadata"]["name"] for claim in _claims(container)),
        }


def _claims(container: Container) -> list[Document]:
    kind, _, name = container.workload.partition("/")
    claims: list[Document] = find(container.documents, kind, name)["spec"].get("volumeClaimTemplates", [])
    return claims


@pytest.mark.parametrize("name", ALL)
def test_no_service_becomes_a_variable_that_a_process_refuses(name: str) -> None:
    for container in ours(name):
        assert container.pod["spec"]["enableServiceLinks"] is False, container.workload


@pytest.mark.parametrize("name", ALL)
def test_what_serves_is_probed_where_it_listens(name: str) -> None:
    serving = [container for container in ours(name) if container.workload.startswith(("Deployment", "StatefulSet"))]
    assert len(serving) >= 3
    for container in serving:
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = container.spec[kind]
            if "httpGet" in probe:
                path = "/readyz" if kind == "readinessProbe" else "/livez"
                assert (probe["httpGet"]["path"], container.port(probe["httpGet"]["port"])) == (path, 8080)
            elif "grpc" in probe:
                asked = {"port": 50051} if kind == "readinessProbe" else {"port": 50051, "service": LIVE}
                assert probe["grpc"] == asked
                assert "OMAKASE_GRPC_CA" not in container.environ(), "the kubelet shows no certificate"
            elif "exec" in probe:
                asks = [] if kind == "readinessProbe" else ["live"]
                assert probe["exec"]["command"] == ["python", "-m", "omakase.serving.probe", *asks]
            else:
                address = container.environ()["OMAKASE_METRICS_ADDRESS"]
                assert address.endswith(f":{container.port(probe['tcpSocket']['port'])}")


@pytest.mark.parametrize("name", ALL)
def test_who_serves_has_time_to_drain(name: str) -> None:
    for container in ours(name):
        if "OMAKASE_DRAIN_S" not in container.environ():
            continue
        drain_s = float(container.environ()["OMAKASE_DRAIN_S"])
        (command, pause_s) = container.spec["lifecycle"]["preStop"]["exec"]["command"]
        assert command == "sleep"
        # The gateway and tracking drain requests first and what is spooled or queued then, each within the setting.
        times = 1 if container.module == "recommender" else 2
        grace_s = container.pod["spec"]["terminationGracePeriodSeconds"]
        assert grace_s >= float(pause_s) + times * drain_s + 5, container.workload


@pytest.mark.parametrize("name", ["staging", "prod", "prod with a second recommender"])
def test_what_serves_is_spread_scaled_and_never_taken_away_all_at_once(name: str) -> None:
    documents = render(name)
    for deployment in of_kind(documents, "Deployment"):
        called, labels = deployment["metadata"]["name"], pod_of(deployment)["metadata"]["labels"]  # type: ignore[index]
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
        scaler = find(documents, "HorizontalPodAutoscaler", called)
        assert scaler["spec"]["scaleTargetRef"]["name"] == called
        assert scaler["spec"]["minReplicas"] >= 2
        budget = find(documents, "PodDisruptionBudget", called)
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        for one in spread:
            assert one["labelSelector"]["matchLabels"].items() <= labels.items()
            assert one["labelSelector"]["matchLabels"].get("recommender") == labels.get("recommender")


@pytest.mark.parametrize("name", ALL)
def test_every_service_leads_to_pods_that_listen(name: str) -> None:
    documents = render(name)
    for service in of_kind(documents, "Service"):
        selector = service["spec"]["selector"].items()
        met = [one for one in containers(documents) if selector <= one.pod["metadata"]["labels"].items()]
        assert met, service["metadata"]["name"]
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in {one["name"] for container in met for one in container.spec["ports"]}


@pytest.mark.parametrize("name", ALL)
def test_jobs_end_do_not_overlap_and_leave_little_behind(name: str) -> None:
    jobs = of_kind(render(name), "CronJob")
    assert jobs
    for job in jobs:
        spec, work = job["spec"], job["spec"]["jobTemplate"]["spec"]
        assert spec["concurrencyPolicy"] == "Forbid"
        assert spec["startingDeadlineSeconds"] >= 60  # below 10 s a controller may never start it
        assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (1, 3)
        assert work["activeDeadlineSeconds"] <= 3600
        assert work["backoffLimit"] <= 3
        assert work["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("name", ALL)
def test_every_workload_has_an_identity_of_this_namespace(name: str) -> None:
    documents = render(name)
    for container in ours(name):
        account = container.pod["spec"]["serviceAccountName"]
        assert find(documents, "ServiceAccount", account)["metadata"]["namespace"] == "omakase"
    for workload in workloads(name):
        assert workload["metadata"]["namespace"] == "omakase"
