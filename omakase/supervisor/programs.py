"""What runs on one machine, how each is asked whether it serves, and what each uses of the configuration."""

from __future__ import annotations

import ssl
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.config import Product
from omakase.config.placements import ESTIMATED
from omakase.deployment import Deployment
from omakase.settings import Settings
from omakase.sockets import socket_of
from omakase.supervisor.child import Program

Uses: TypeAlias = Callable[[Product], object]


@dataclass(frozen=True, slots=True)
class Port:
    """A listening socket, and how it is called."""

    fd: int
    url: str


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the deployment listens."""

    gateway: Port
    tracking: Port


def programs_of(deployment: Deployment, product: Product, ports: Ports, sockets: str, lifeline: int) -> list[Program]:
    """In the order of the data's way. `sockets` is the directory of the sockets between them."""
    tracking = tracking_socket(sockets)
    local = {name: socket_of(sockets, name) for name in deployment.local_recommenders(product)}
    return [
        _program(
            "gateway",
            "gateway",
            deployment.gateway(sockets, tracking, ports.gateway.fd, lifeline),
            (ports.gateway.fd, lifeline),
            lambda: _serves(ports.gateway.url),
        ),
        *(
            _program(
                recommender_program(name),
                "recommender",
                deployment.recommender(name, address, tracking, lifeline),
                (lifeline,),
                partial(_answers, address),
            )
            for name, address in local.items()
        ),
        _program(
            "tracking",
            "tracking",
            deployment.tracking(tracking, ports.tracking.fd, lifeline),
            (ports.tracking.fd, lifeline),
            lambda: _serves(ports.tracking.url) and _answers(tracking),
        ),
        _program("trainer", "dataflow", deployment.trainer(lifeline), (lifeline,)),
        _program("batch", "batch", deployment.batch(lifeline), (lifeline,)),
    ]


def recommender_program(name: str) -> str:
    """What a recommender's process is called, and its spool."""
    return f"recommender-{name}"


def tracking_socket(sockets: str) -> str:
    return f"unix:{sockets}/tracking.sock"


def _trained(product: Product) -> object:
    return product.learning, product.models, product.features, product.reward_tables()


def _reported(product: Product) -> object:
    estimated = [name for name, placement in product.placements.items() if placement.examination == ESTIMATED]
    return product.learning, product.people, sorted(estimated)


# They hold no requests and go on exactly where they were: they follow a change of these by starting again.
STARTED_AGAIN: Mapping[str, Uses] = {"trainer": _trained, "batch": _reported}


def _program(
    name: str, module: str, settings: Settings, fds: Sequence[int], is_ready: Callable[[], bool] = lambda: True
) -> Program:
    return Program(name, module, settings.to_environ(), fds, is_ready)


def _serves(url: str) -> bool:
    # Our own process on our own socket: its certificate names the host that others call it by.
    unverified = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1.0, context=unverified) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False


def _answers(address: str) -> bool:
    try:
        with grpc.insecure_channel(address) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1.0)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
