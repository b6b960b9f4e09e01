"""One configuration in a bucket for a whole cluster: followed by each process, and replaced by one of two."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from omakase.adapters import open_shared_text
from omakase.adapters.gcp.storage.objects import Objects, new_client, place_of
from omakase.adapters.gcp.storage.shared_text import GcsSharedText
from omakase.adapters.uri import Uri
from omakase.core.errors import Conflict, InvalidConfig, InvalidInput, Unavailable
from omakase.ports.shared_text import SharedText
from omakase.serving.configuration import Configuration
from omakase.serving.configuration_copy import ConfigurationCopy
from omakase.serving.configuration_file import SharedConfiguration, digest_of
from omakase.settings import TrainerSettings
from tests.counterparts import cloud
from tests.counterparts.http_faults import Fault, HttpFaults
from tests.integration.backoffice import Operator
from tests.integration.stage import PRODUCT, RunningGateway, Shop, Stage, free_port, until

CHANGED = PRODUCT.replace("slots: 3", "slots: 4")
OTHERS = PRODUCT.replace("slots: 3", "slots: 5")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Of a configuration that somebody has put there."""
    uri = f"{cloud.models(tmp_path)}/product.yaml"
    _, prefix = place_of(Uri.parse(uri))
    bucket = new_client().bucket(cloud.BUCKET)
    bucket.blob(prefix.rstrip("/")).upload_from_string(PRODUCT)
    return uri


def behind(uri: str, *faults: Fault) -> tuple[SharedText, HttpFaults]:
    client = new_client()
    folder, _, name = uri.rpartition("/")
    return GcsSharedText(Objects(client, *place_of(Uri.parse(folder))), name), HttpFaults(*faults).on(client)


def replace(shared: SharedText, text: str) -> None:
    shared.replace(text.encode(), shared.read()[1])


def followed(uri: str) -> Configuration:
    """By a service that was told the address."""
    told = {"config": uri, "keys": "", "bus": "", "models": "", "warehouse": "", "state": "", "config_poll_s": 0.01}
    return Configuration.named_by(TrainerSettings.model_validate(told))


def slots(configuration: Configuration) -> int:
    return configuration.look().product.placements["home-top"].slots


def test_every_process_follows_what_is_in_the_bucket(uri: str) -> None:
    services = [followed(uri), followed(uri)]
    assert [slots(service) for service in services] == [3, 3]
    replace(open_shared_text(uri), CHANGED)
    until(lambda: [slots(service) for service in services] == [4, 4], "both have followed")
    replace(open_shared_text(uri), "placements: {}")
    until(lambda: all(service.look() and service.faults for service in services), "both have refused it")
    assert [slots(service) for service in services] == [4, 4]


def test_while_the_bucket_is_away_the_last_one_stays_in_force(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    shared, script = behind(uri)
    copy = ConfigurationCopy(shared)
    configuration = Configuration.of(copy.path, 0.0, copy=copy)
    script.left = [Fault(status=403, method="GET")] * 3
    for _ in range(3):
        assert slots(configuration) == 3
    assert not script.left
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    replace(open_shared_text(uri), CHANGED)
    until(lambda: slots(configuration) == 4, "it has followed")


def test_without_a_configuration_a_service_does_not_start(uri: str) -> None:
    with pytest.raises(Unavailable, match="put the configuration there"):
        followed(f"{uri}.none")
    with pytest.raises(InvalidInput, match="name of an object"):
        followed("gs://bucket")


@pytest.mark.parametrize("about", ['product.yaml"', 'product.yaml.previous"'])
def test_of_two_who_replace_it_one_goes_through_and_the_one_before_is_kept(uri: str, about: str) -> None:
    def overtake() -> None:
        replace(open_shared_text(uri), OTHERS)

    shared, script = behind(uri)
    file = SharedConfiguration(shared, ConfigurationCopy(shared).path, lambda product: None)
    script.left = [Fault(method="POST", about=about, is_none=True, meanwhile=overtake)]
    with pytest.raises(Conflict):
        file.replace(CHANGED.encode(), digest_of(PRODUCT.encode()))
    assert not script.left
    with pytest.raises(Conflict, match="read it again"):
        file.replace(CHANGED.encode(), digest_of(PRODUCT.encode()))
    assert file.read() == OTHERS.encode()
    script.left = [Fault(status=503, method="POST", about='product.yaml"', is_done=True)]
    assert file.replace(CHANGED.encode(), digest_of(OTHERS.encode())) == digest_of(CHANGED.encode())
    assert not script.left
    assert (file.read(), open_shared_text(f"{uri}.previous").read()[0]) == (CHANGED.encode(), OTHERS.encode())
    assert file.replace(CHANGED.encode(), "whatever") == digest_of(CHANGED.encode())


def test_what_is_wrong_with_a_new_one_is_told_by_its_lines(uri: str) -> None:
    shared, _ = behind(uri)
    file = SharedConfiguration(shared, ConfigurationCopy(shared).path, lambda product: None)
    with pytest.raises(InvalidConfig) as refused:
        file.replace(PRODUCT.replace("slots", "slotz").encode(), digest_of(PRODUCT.encode()))
    assert refused.value.faults[0].startswith("4: placements.home-top.slotz")
    assert file.read() == PRODUCT.encode()


@dataclass
class SharedShop(Shop):
    """Its services follow the configuration in the bucket."""

    uri: str = ""

    def configuration(self) -> Configuration:
        return followed(self.uri)


@pytest.fixture
def operator(stage: Stage, tmp_path: Path, uri: str) -> Iterator[Operator]:
    shop = SharedShop(tmp_path, uri=uri)
    shop.stock()
    gateway = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}", grace_s=0.0)
    yield Operator(gateway)
    gateway.stop()


def test_an_operator_replaces_it_for_all_through_any_gateway(operator: Operator, uri: str) -> None:
    tag = operator.send("GET", "/configuration")[1]["etag"]
    status, _, answer = operator.send("PUT", "/configuration", CHANGED.encode(), If_Match=tag)
    assert status == 200, answer
    assert open_shared_text(uri).read()[0] == CHANGED.encode()
    until(lambda: operator.does("GET", "/placements/home-top")["slots"] == 4, "the gateway has followed")
    assert operator.send("PUT", "/configuration", OTHERS.encode(), If_Match=tag)[0] == 412
