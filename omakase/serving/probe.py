"""`python -m omakase.serving.probe [live]`: exit code 0 if this recommender is ready, or lives.

For where gRPC wants certificates: Kubernetes's own gRPC probe shows none. The certificate must name localhost, too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from omakase.core.errors import OmakaseError
from omakase.serving.rpc import LIVE, new_blocking_channel
from omakase.serving.tls import MutualTls
from omakase.settings import RecommenderSettings

_DEADLINE_S = 2.0


def is_well(environ: Mapping[str, str], arguments: Sequence[str] = ()) -> bool:
    """Whether the recommender that this environment describes says SERVING. Raises: InvalidConfig."""
    settings = RecommenderSettings.from_environ(environ)
    asked = health_pb2.HealthCheckRequest(service=LIVE if "live" in arguments else "")
    target = f"localhost:{settings.grpc_address.rpartition(':')[2]}"
    with new_blocking_channel(target, MutualTls.of(settings)) as channel:
        try:
            told = health_pb2_grpc.HealthStub(channel).Check(asked, timeout=_DEADLINE_S)
        except grpc.RpcError:
            return False
    return bool(told.status == health_pb2.HealthCheckResponse.SERVING)


def main() -> int:
    try:
        return 0 if is_well(os.environ, sys.argv[1:]) else 1
    except OmakaseError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
