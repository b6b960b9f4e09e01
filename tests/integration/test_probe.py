"""What an orchestrator asks a recommender's pod, without a certificate and with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from omakase.core.errors import InvalidConfig
from omakase.serving.probe import is_well
from omakase.serving.rpc import Health, bind, new_server
from omakase.serving.tls import MutualTls
from omakase.settings import RecommenderSettings
from tests.integration.certificates import Authority, needs_openssl
from tests.integration.stage import Stage, free_port


def environ(port: int, **more: str) -> dict[str, str]:
    given = {
        "config": "c",
        "keys": "k",
        "catalogue": "c",
        "models": "m",
        "contexts": "c",
        "spool": "s",
        "tracking": "t",
    }
    return RecommenderSettings(grpc_address=f"0.0.0.0:{port}", **given, **more).to_environ()


@contextmanager
def serving(stage: Stage, tls: MutualTls | None = None) -> Iterator[tuple[int, Health]]:
    health = Health()

    async def start() -> tuple[int, object]:
        server = new_server([], health)
        port = bind(server, "127.0.0.1:0", tls)
        await server.start()
        await health.set(is_serving=False)
        return port, server

    port, server = stage.run(start())
    try:
        yield port, health
    finally:
        stage.run(server.stop(None))


def test_a_recommender_that_starts_or_drains_lives_and_is_not_ready(stage: Stage) -> None:
    with serving(stage) as (port, health):
        assert is_well(environ(port), ["live"])
        assert not is_well(environ(port))
        stage.run(health.set(is_serving=True))
        assert is_well(environ(port))
        stage.run(health.set(is_serving=False))
        assert not is_well(environ(port))
        assert is_well(environ(port), ["live"])


def test_where_nobody_listens_nobody_lives() -> None:
    assert not is_well(environ(free_port()), ["live"])


@needs_openssl
def test_it_shows_the_certificate_of_the_service(stage: Stage, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    tls = authority.tls("recommender")
    files = {
        "grpc_certificate": str(tls.pair.certificate),
        "grpc_key": str(tls.pair.key),
        "grpc_ca": str(tls.authority),
    }
    with serving(stage, tls) as (port, _):
        assert is_well(environ(port, **files), ["live"])
        assert not is_well(environ(port), ["live"])


def test_a_variable_that_is_unknown_is_told() -> None:
    with pytest.raises(InvalidConfig, match="OMAKASE_CATALOG: unknown variable"):
        is_well({**environ(1), "OMAKASE_CATALOG": "x"})
