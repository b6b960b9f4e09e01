"""What a deployment tells each service, by environment variables named OMAKASE_*: one class per service.

Nothing else reads the environment. A field `bus` is the variable OMAKASE_BUS; an unknown OMAKASE_ variable is refused,
for a typo must not become a default. URIs pick the adapters, see `omakase.adapters`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from omakase.core.errors import InvalidConfig
from omakase.core.suggestion import suggest

PREFIX = "OMAKASE_"
_URL = re.compile(r"https?://[^/\s]+(/\S*)?")
_ORIGIN = re.compile(r"https?://[a-z0-9.-]+(:[0-9]+)?|https?://\[[0-9a-f:]+\](:[0-9]+)?")


class Settings(BaseModel):
    """Fields every service has. Units: as each name says; times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str = Field(description="path of the product's configuration, or gs://BUCKET/PATH, which a cluster shares")
    config_before: str | None = Field(
        default=None, description="path of a copy of the last valid configuration, to start from while it is invalid"
    )
    config_poll_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    keys: str = Field(description="path of the keys")
    clock: str = Field(default="system:", description="system: or mapped:/path, which a replay moves")
    log_level: str = "INFO"
    log_format: Literal["text", "json"] = "text"
    traces: str | None = Field(default=None, description="where traces go: URL of an OTLP receiver, http/protobuf")
    traces_ratio: Annotated[float, Field(gt=0, le=1)] = 0.01
    lifeline_fd: int | None = Field(default=None, description="a pipe that closes when the supervisor dies")

    @field_validator("traces")
    @classmethod
    def _is_url(cls, told: str | None) -> str | None:
        return None if told is None else receiver_of(told)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read this service's variables. Raises: InvalidConfig naming every fault and the nearest known variable."""
        given = {name: value for name, value in environ.items() if name.startswith(PREFIX)}
        known = {PREFIX + field.upper(): field for field in cls.model_fields}
        faults = [f"{name}: unknown variable{suggest(name, known)}" for name in given.keys() - known.keys()]
        try:
            settings = cls.model_validate({known[name]: value for name, value in given.items() if name in known})
        except ValidationError as error:
            faults += [f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors() if e["loc"]]
        if faults:
            raise InvalidConfig(sorted(faults))
        return settings

    def to_environ(self) -> dict[str, str]:
        """The variables that give these settings to a child process."""
        return {PREFIX + name.upper(): str(value) for name, value in self.model_dump(exclude_none=True).items()}


class HttpSettings(Settings):
    """A service with an HTTP port. `http_fd` is a listening socket inherited from the supervisor."""

    http_address: str = "127.0.0.1:0"
    http_fd: int | None = None
    drain_s: Annotated[float, Field(ge=0, le=300)] = 10.0
    max_body_bytes: Annotated[int, Field(ge=1024)] = 1_000_000
    request_timeout_s: Annotated[float, Field(ge=1, le=300)] = 10.0
    max_connections: Annotated[int, Field(ge=1, le=1_000_000)] = 2000
    tls_certificate: str | None = Field(default=None, description="path of a PEM file, with its chain")
    tls_key: str | None = None
    cors_origins: str | None = Field(default=None, description="web origins whose pages may read answers, or *")

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, told: str | None) -> str | None:
        origins_of(told)
        return told

    def origins(self) -> list[str]:
        """The web origins, one by one."""
        return origins_of(self.cors_origins)


class GrpcSettings(Settings):
    """A service that speaks gRPC. With these files both sides show a certificate; see `omakase.serving.tls`."""

    grpc_certificate: str | None = Field(default=None, description="path of a PEM file, with its chain")
    grpc_key: str | None = None
    grpc_ca: str | None = Field(default=None, description="path of the authority's PEM file")


class GatewaySettings(HttpSettings, GrpcSettings):
    """The gateway: HTTP in, gRPC out."""

    catalogue: str
    models: str = Field(description="where the counts of clicks and impressions come from")
    spool: str = Field(description="the delivery spool, spool:/directory")
    tracking: str = Field(description="gRPC target of tracking")
    recommenders: str = Field(
        default="{}", description="JSON: recommender name to gRPC target or targets, over the configuration's"
    )
    sockets: str | None = Field(default=None, description="directory of the sockets of recommenders on this machine")
    config_grace_s: Annotated[float, Field(ge=0, le=600)] = 30.0
    max_requests: Annotated[int, Field(ge=1)] = 64
    slow_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    contexts: str | None = Field(default=None, description="what is known of people, for /admin/v1 to change")
    data_dir: str | None = Field(default=None, description="where all is kept on one machine, for /admin/v1 to forget")
    deliveries: str | None = Field(default=None, description="elsewhere it forgets in these: delivery records,")
    bus: str | None = Field(default=None, description="the bus that deliveries are excluded by,")
    warehouse: str | None = Field(default=None, description="and history")


class RecommenderSettings(GrpcSettings):
    """A recommender: gRPC in."""

    name: str = "main"
    grpc_address: str
    metrics_address: str | None = Field(default=None, description="host:port of /metrics over HTTP; without it, none")
    catalogue: str
    models: str
    contexts: str
    context_timeout_s: Annotated[float, Field(gt=0, le=1)] = 0.05
    spool: str
    tracking: str
    poll_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    drain_s: Annotated[float, Field(ge=0, le=300)] = 10.0


class TrackingSettings(HttpSettings, GrpcSettings):
    """Tracking: HTTP and gRPC in, bus out."""

    grpc_address: str
    bus: str
    deliveries: str
    contexts: str = Field(description="where people's last clicks are noted")
    orphan_wait_s: Annotated[float, Field(gt=0)] = 3600.0
    order_wait_s: Annotated[float, Field(ge=0, le=3600)] = 60.0
    address_header: str | None = Field(default=None, description="where a trusted proxy says who called it")
    address_proxies: Annotated[int, Field(ge=1, le=10)] = Field(default=1, description="how many proxies add to it")
    sweep_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    max_events: Annotated[int, Field(ge=1)] = 1000
    max_queued_events: Annotated[int, Field(ge=1)] = 50_000
    max_queued_bytes: Annotated[int, Field(ge=10_000_000)] = 100_000_000
    store_timeout_s: Annotated[float, Field(gt=0, le=300)] = 10.0


class TrainerSettings(Settings):
    """The bounded trainer."""

    bus: str
    models: str
    warehouse: str
    state: str = Field(description="path of the trainer's own SQLite database")
    tick_s: Annotated[float, Field(gt=0, le=3600)] = 1.0
    max_messages: Annotated[int, Field(ge=1)] = 50_000
    shard: str = "embedded"
    metrics_address: str | None = Field(default=None, description="host:port of /metrics over HTTP; without it, none")


class StreamingSettings(BaseModel):
    """The streaming job on Dataflow, by arguments of its launcher: a flex template hands over nothing else."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: str = Field(description="path or gs:// address of the product's configuration; what it names lies beside")
    bus: str = Field(description="pubsub:PROJECT/TOPIC?subscription=NAME, a subscription that nobody else reads")
    models: str
    warehouse: str
    shard: Annotated[str, Field(pattern="[a-z][a-z0-9_]{0,30}")] = "stream"
    spread: Annotated[int, Field(ge=1, le=1000)] = 8
    history_s: Annotated[float, Field(ge=1, le=3600)] = 60.0
    history_bytes: Annotated[int, Field(ge=1_000_000, le=60_000_000)] = 32_000_000
    history_spread: Annotated[int, Field(ge=1, le=100)] = 4
    closed_before: Annotated[float, Field(ge=0)] = 0.0

    @field_validator("shard")
    @classmethod
    def _is_no_trainer(cls, told: str) -> str:
        # A rebuild tells by the name whose examples come before, and whose after what a model holds.
        if told == TrainerSettings.model_fields["shard"].default:
            raise ValueError(f"{told} is the name of bounded trainers: choose another")
        return told

    @classmethod
    def from_arguments(cls, arguments: Sequence[str]) -> tuple[Self, list[str]]:
        """From `--field=value`. Returns the arguments, too, that are none of these. Raises: InvalidConfig."""
        given: dict[str, str] = {}
        others: list[str] = []
        for argument in arguments:
            name, is_set, value = argument.removeprefix("--").partition("=")
            if argument.startswith("--") and is_set and name in cls.model_fields:
                given[name] = value
            else:
                others.append(argument)
        try:
            return cls.model_validate(given), others
        except ValidationError as error:
            raise InvalidConfig([f"--{e['loc'][0]}: {e['msg']}" for e in error.errors()]) from None


class BatchSettings(Settings):
    """The scheduler of batch jobs, and the jobs. Where a pipeline fills the warehouse, there is no bus and no state."""

    models: str
    warehouse: str
    bus: str | None = Field(default=None, description="event log, for the scheduler, `load` and `trim`")
    state: str | None = Field(
        default=None, description="directory of the jobs' own state, for the scheduler and `load`"
    )
    training: str | None = Field(default=None, description="the trainer's state, where dead letters are kept")
    deliveries: str | None = Field(
        default=None, description="delivery records, which say who was forgotten, for `forget`"
    )
    metrics_address: str | None = Field(default=None, description="host:port of /metrics over HTTP; without it, none")
    load_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    aggregate_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0


class BackofficeSettings(Settings):
    """`omakase users forget` in a cluster: what services share, and nothing of their own."""

    contexts: str
    deliveries: str
    bus: str = Field(description="the bus that deliveries are excluded by")
    warehouse: str


def receiver_of(told: str) -> str:
    """The URL of an OTLP receiver. Raises: ValueError for what is none."""
    if not _URL.fullmatch(told):
        raise ValueError("write the URL of an OTLP receiver, such as http://127.0.0.1:4318/v1/traces")
    return told


def origins_of(told: str | None) -> list[str]:
    """The web origins of a setting, one by one. Raises: ValueError for what is none."""
    origins = (told or "").split()
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise ValueError("write origins such as https://shop.example, with spaces between them, or *")
    return origins
