"""TLS towards callers, mutual TLS between services, with certificates that are replaced while they are in use."""

from __future__ import annotations

import http.client
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.adapters.local.spool import Spool
from omakase.adapters.local.spool_reader import SpoolReader
from omakase.core.errors import InvalidConfig
from omakase.serving.http import new_server as new_http_server
from omakase.serving.refusals import Refusals
from omakase.serving.rpc import Health, bind, new_blocking_channel, new_channel, new_server
from omakase.serving.shipper import Shipper
from omakase.serving.tls import MutualTls, Pair
from omakase.settings import HttpSettings, TrackingSettings
from omakase.v1 import tracking_pb2, tracking_pb2_grpc
from tests.integration.certificates import Authority, needs_openssl
from tests.integration.stage import PATIENCE_S, Stage, until
from tests.integration.till import Till

pytestmark = needs_openssl


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as running:
        yield running


def shown_by(port: int, authority: Authority, pair: Pair | None = None) -> int:
    """The serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=authority.path)
    context.set_alpn_protocols(["h2"])
    if pair is not None:
        context.load_cert_chain(pair.certificate, pair.key)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as secured,
    ):
        shown = secured.getpeercert()
        assert shown is not None
        return int(shown["serialNumber"], 16)


class TestHttps:
    @pytest.fixture
    def till(self, stage: Stage, authority: Authority, tmp_path: Path) -> Iterator[Till]:
        pair = authority.sign("tracking")
        (tmp_path / "data").mkdir()
        files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
        running = Till(stage, tmp_path / "data", request_timeout_s=1, **files)
        yield running
        running.close()

    def test_a_port_with_a_certificate_speaks_https_only(self, till: Till, authority: Authority) -> None:
        context = ssl.create_default_context(cafile=authority.path)
        connection = http.client.HTTPSConnection("localhost", till.port, timeout=PATIENCE_S, context=context)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        assert answer.status == 200
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        connection.close()
        with pytest.raises((http.client.HTTPException, OSError)):
            till.send("GET", "/livez")

    def test_a_slow_client_is_closed_there_too(self, till: Till, authority: Authority) -> None:
        context = ssl.create_default_context(cafile=authority.path)
        with (
            socket.create_connection(("127.0.0.1", till.port), timeout=PATIENCE_S) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as secured,
        ):
            secured.sendall(b"GET /livez HT")
            assert secured.recv(1000).startswith(b"HTTP/1.1 408 ")

    def test_a_replaced_certificate_is_met_by_the_next_connection(
        self, till: Till, authority: Authority, caplog: pytest.LogCaptureFixture
    ) -> None:
        first = shown_by(till.port, authority)
        pair = authority.sign("tracking")
        until(lambda: shown_by(till.port, authority) != first, "the new certificate is met")
        second = shown_by(till.port, authority)
        with caplog.at_level(logging.ERROR):
            authority.sign("other").certificate.replace(pair.certificate)
            until(lambda: "the certificate stays as it was" in caplog.text, "that it does not fit its key is told of")
        assert "PRIVATE" not in caplog.text
        assert shown_by(till.port, authority) == second


class Server:
    """A gRPC server with health, and tracking's one call."""

    def __init__(self, stage: Stage, tls: MutualTls | None) -> None:
        self.records: list[bytes] = []
        self._stage = stage
        stage.run(self._start(tls))

    async def _start(self, tls: MutualTls | None) -> None:
        health = Health()
        self._server = new_server([], health)
        tracking_pb2_grpc.add_TrackingServicer_to_server(self, self._server)
        self.port = bind(self._server, "127.0.0.1:0", tls)
        await self._server.start()
        await health.set(is_serving=True)

    async def RecordSlates(self, request: Any, _: Any) -> Any:  # noqa: N802
        self.records += request.slates
        return tracking_pb2.RecordSlatesResponse()

    def stop(self) -> None:
        self._stage.run(self._server.stop(None))


@pytest.fixture
def server(stage: Stage, authority: Authority) -> Iterator[Server]:
    running = Server(stage, authority.tls("server"))
    yield running
    running.stop()


def is_served(channel: grpc.Channel) -> bool:
    with channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            return bool(stub.Check(health_pb2.HealthCheckRequest(), timeout=2.0).status)
        except grpc.RpcError:
            return False


class TestMutualTls:
    def test_only_who_shows_a_certificate_of_the_authority_is_served(
        self, server: Server, authority: Authority, tmp_path: Path
    ) -> None:
        target, client = f"127.0.0.1:{server.port}", authority.tls("client")
        stranger = Authority(tmp_path / "stranger").tls("client")
        assert is_served(new_blocking_channel(target, client))
        assert not is_served(new_blocking_channel(target, None))
        assert not is_served(grpc.secure_channel(target, grpc.ssl_channel_credentials(authority.path.read_bytes())))
        assert not is_served(new_blocking_channel(target, MutualTls(stranger.pair, authority.path)))

    def test_a_client_calls_only_a_server_of_the_authority_under_its_own_name(
        self, stage: Stage, server: Server, authority: Authority, tmp_path: Path
    ) -> None:
        client = authority.tls("client")
        impostor = Server(stage, MutualTls(Authority(tmp_path / "stranger").sign("server"), authority.path))
        assert not is_served(new_blocking_channel(f"127.0.0.1:{impostor.port}", client))
        assert not is_served(new_blocking_channel(f"127.0.0.2:{server.port}", client))
        impostor.stop()

    def test_an_asynchronous_channel_is_served_too(self, stage: Stage, server: Server, authority: Authority) -> None:
        async def check() -> int:
            async with new_channel(f"127.0.0.1:{server.port}", authority.tls("client")) as channel:
                answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5.0)
                return int(answer.status)

        assert stage.run(check()) == health_pb2.HealthCheckResponse.SERVING

    def test_a_replaced_certificate_is_met_by_the_next_connection(self, server: Server, authority: Authority) -> None:
        client = authority.sign("client")
        first = shown_by(server.port, authority, client)
        pair = authority.sign("server")
        second = shown_by(server.port, authority, client)
        assert second != first
        pair.key.write_text("nonsense")
        assert shown_by(server.port, authority, client) == second

    def test_a_shipper_shows_the_new_certificate_with_the_next_record(
        self, server: Server, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        spool, reader = Spool(tmp_path / "spool"), SpoolReader(tmp_path / "spool")
        mine = Authority(tmp_path / "expired").sign("shipper")
        shipper = Shipper(reader, f"127.0.0.1:{server.port}", tmp_path / "refused", MutualTls(mine, authority.path))
        spool.append(b"one")
        shipper.start()
        until(lambda: "delivery records wait" in caplog.text, "it is refused")
        signed = authority.sign("shipper")
        signed.key.replace(mine.key)
        until(lambda: "no certificate with its key" in caplog.text, "half of it is noticed")
        signed.certificate.replace(mine.certificate)
        until(lambda: server.records == [b"one"], "the record arrives")
        shipper.stop(PATIENCE_S)


@pytest.mark.parametrize("missing", ["grpc_certificate", "grpc_key", "grpc_ca"])
def test_files_that_are_missing_or_do_not_fit_are_refused_at_the_start(
    authority: Authority, tmp_path: Path, missing: str
) -> None:
    pair = authority.sign("one")
    files = {"grpc_certificate": str(pair.certificate), "grpc_key": str(pair.key), "grpc_ca": str(authority.path)}
    rest = dict.fromkeys(("config", "keys", "grpc_address", "bus", "deliveries", "contexts"), "")
    assert MutualTls.of(TrackingSettings(**rest)) is None
    assert MutualTls.of(TrackingSettings(**rest, **files)) is not None
    with pytest.raises(InvalidConfig, match="give all three or none"):
        MutualTls.of(TrackingSettings(**rest, **{name: path for name, path in files.items() if name != missing}))
    with pytest.raises(InvalidConfig, match=r"no such|No such|no certificate|cannot|PEM|NO_"):
        MutualTls.of(TrackingSettings(**rest, **{**files, missing: str(tmp_path / "none")}))


def test_a_certificate_that_does_not_fit_its_key_is_refused_at_the_start(authority: Authority) -> None:
    files = {"tls_certificate": str(authority.sign("a").certificate), "tls_key": str(authority.sign("b").key)}

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    for given in (files, {"tls_key": files["tls_key"]}):
        settings = HttpSettings(config="", keys="", **given)
        with pytest.raises(InvalidConfig, match=r"KEY_VALUES_MISMATCH|give both or none"):
            new_http_server(app, settings, Refusals())
