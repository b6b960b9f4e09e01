"""`omakase up`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from omakase.adapters import open_catalogue_store
from omakase.cli.options import Config, DataDir
from omakase.cli.signals import until_stopped
from omakase.deployment import Deployment
from omakase.logs import set_up
from omakase.serving.tls import Pair
from omakase.settings import origins_of, receiver_of


def up(
    config: Config,
    data_dir: DataDir,
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes any.", min=0, max=65535)] = 8080,
    tracking_port: Annotated[int, typer.Option(help="Port of tracking; 0 takes any.", min=0, max=65535)] = 8081,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    durability: Annotated[
        str, typer.Option(help="What a 202 survives: `os` the death of every process, `disk` power loss too.")
    ] = "os",
    cors_origins: Annotated[
        str | None, typer.Option(help="Web origins whose pages may read answers, with spaces between them, or `*`.")
    ] = None,
    tls_certificate: Annotated[Path | None, typer.Option(help="PEM file; with it both ports speak HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM file with its private key.")] = None,
    log_format: Annotated[str, typer.Option(help="`text`, or `json`: an object a line.")] = "text",
    traces: Annotated[
        str | None, typer.Option(help="Where traces go: URL of an OTLP receiver, http/protobuf; without it, nowhere.")
    ] = None,
    traces_ratio: Annotated[float, typer.Option(help="Share of the requests that are traced.")] = 0.01,
) -> None:
    """Run the whole service on this machine until Ctrl-C or SIGTERM.

    Example: `omakase up --config examples/storefront.yaml --data-dir data`
    """
    from omakase.supervisor import Supervisor

    observing = _observing(log_format, traces, traces_ratio)
    set_up("omakase", "INFO", log_format)  # type: ignore[arg-type]
    if durability not in ("os", "disk"):
        raise typer.BadParameter("use os or disk", param_hint="--durability")
    if (tls_certificate is None) != (tls_key is None):
        raise typer.BadParameter("give both or none", param_hint="--tls-certificate, --tls-key")
    try:
        edge = {"cors_origins": cors_origins} if cors_origins is not None and origins_of(cors_origins) else {}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--cors-origins") from None
    if tls_certificate is not None and tls_key is not None:
        Pair(tls_certificate, tls_key).check()
        edge |= {"tls_certificate": str(tls_certificate.absolute()), "tls_key": str(tls_key.absolute())}
    more = {"durability": durability, "observing": observing, "edge": edge}
    deployment = Deployment(config, data_dir, port, tracking_port, host, **more)  # type: ignore[arg-type]
    console = Console(soft_wrap=True, highlight=False)
    with until_stopped() as stopping, Supervisor(deployment) as supervisor:
        supervisor.wait_ready(timeout_s=60, stopping=stopping)
        if not stopping.is_set():
            console.print(
                f"omakase is ready: recommendations at {supervisor.gateway_url}, events at {supervisor.tracking_url}, "
                f"logs in {deployment.root / 'logs'}"
            )
            if not open_catalogue_store(deployment.uris.catalogue).generation():
                console.print(f"the catalogue is empty: omakase items import FILE --data-dir {data_dir}")
        stopping.wait()
        console.print("draining…")


def _observing(log_format: str, traces: str | None, traces_ratio: float) -> dict[str, object]:
    """The settings of every process. Raises: BadParameter."""
    if log_format not in ("text", "json"):
        raise typer.BadParameter("use text or json", param_hint="--log-format")
    if not 0 < traces_ratio <= 1:
        raise typer.BadParameter("use a number above 0, at most 1", param_hint="--traces-ratio")
    if traces is None:
        return {"log_format": log_format}
    try:
        return {"log_format": log_format, "traces": receiver_of(traces), "traces_ratio": traces_ratio}
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--traces") from None
