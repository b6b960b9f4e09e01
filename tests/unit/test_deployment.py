"""A data directory knows where its stores are."""

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.core.errors import Corrupt, InvalidConfig
from omakase.deployment import Deployment

MODELS = {"models": "gs://bucket/models", "bus": "pubsub:p/events?subscription=s&journal={data_dir}/bus.db"}


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path / "shop.yaml", tmp_path / "data")


def test_everything_is_in_the_data_directory_unless_it_is_said_to_be_elsewhere(deployment: Deployment) -> None:
    assert deployment.uris.models == f"file:{deployment.root}/models"
    deployment.settle(MODELS)
    assert deployment.uris.models == "gs://bucket/models"
    assert deployment.uris.contexts == f"sqlite:{deployment.root}/contexts.db?durability=os"


def test_an_address_may_name_the_data_directory(deployment: Deployment) -> None:
    deployment.settle(MODELS)
    assert deployment.uris.bus == f"pubsub:p/events?subscription=s&journal={deployment.root}/bus.db"


def test_a_command_that_knows_the_directory_alone_finds_the_stores(deployment: Deployment) -> None:
    deployment.settle(MODELS)
    assert Deployment(deployment.root, deployment.root).uris.models == "gs://bucket/models"


def test_a_directory_that_was_used_keeps_its_addresses(deployment: Deployment) -> None:
    deployment.settle(MODELS)
    (deployment.root / "catalogue.db").touch()
    deployment.settle(MODELS)
    with pytest.raises(InvalidConfig, match="used with other addresses"):
        deployment.settle({})
    assert deployment.uris.models == "gs://bucket/models"


def test_an_embedded_directory_that_was_used_is_not_forgotten_for_a_cloud(deployment: Deployment) -> None:
    deployment.root.mkdir()
    (deployment.root / "catalogue.db").touch()
    with pytest.raises(InvalidConfig, match="another --data-dir"):
        deployment.settle(MODELS)
    assert deployment.uris.models == f"file:{deployment.root}/models"


def test_damaged_addresses_are_no_addresses(deployment: Deployment) -> None:
    deployment.settle(MODELS)
    (deployment.root / "adapters.json").write_bytes(b'{"models": 3}')
    with pytest.raises(Corrupt, match=r"adapters\.json"):
        _ = deployment.uris
