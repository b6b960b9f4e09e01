"""One data directory and what lies where in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from omakase.adapters.local.files import write_whole
from omakase.core.errors import Corrupt, InvalidConfig, Unavailable
from omakase.settings import BatchSettings, GatewaySettings, RecommenderSettings, TrackingSettings, TrainerSettings

if TYPE_CHECKING:
    from omakase.config import Product


@dataclass(frozen=True, slots=True)
class Uris:
    """Where each port of a deployment is found."""

    clock: str
    bus: str
    deliveries: str
    contexts: str
    catalogue: str
    models: str
    warehouse: str
    training: str


@dataclass(frozen=True, slots=True)
class Deployment:
    """An Omakase on one machine.

    Ports of 0 mean any that is free. `durability` os survives the death of every process, disk also power loss.
    `observing` holds settings of every process, such as `{"log_format": "json"}`; `edge` those of both HTTP ports, such
    as `{"cors_origins": "*"}`; `tuning` further settings by service,
    such as `{"tracking": {"orphan_wait_s": 5}}`.
    """

    config: Path
    data_dir: Path
    http_port: int = 0
    tracking_port: int = 0
    host: str = "127.0.0.1"
    clock_uri: str = "system:"
    durability: Literal["os", "disk"] = "os"
    edge: Mapping[str, str] = field(default_factory=dict)
    config_poll_s: float = 1.0
    observing: Mapping[str, object] = field(default_factory=dict)
    tuning: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.data_dir.absolute()

    @property
    def keys(self) -> Path:
        return self.root / "keys.yaml"

    @property
    def config_before(self) -> Path:
        """A copy of the configuration as it was last valid."""
        return self.root / "configuration.yaml"

    @property
    def uris(self) -> Uris:
        """Where the data directory says that its stores are. Raises: Corrupt; Unavailable."""
        embedded = Uris(
            clock=self.clock_uri,
            bus=self._sqlite("bus"),
            deliveries=self._sqlite("deliveries"),
            contexts=self._sqlite("contexts"),
            catalogue=self._sqlite("catalogue"),
            models=f"file:{self.root / 'models'}",
            warehouse=f"duckdb:{self.root / 'warehouse'}",
            training=self._sqlite("training"),
        )
        return replace(embedded, **self._elsewhere())

    def settle(self, addresses: Mapping[str, str]) -> None:
        """Note in the data directory which of its stores are elsewhere: every command that is given it finds them.

        Raises: InvalidConfig if it was used with other addresses; Corrupt; Unavailable.
        """
        wanted = {name: address.replace("{data_dir}", str(self.root)) for name, address in addresses.items()}
        if wanted == self._elsewhere():
            return
        if any(self.root.glob("*.db")):  # something is stored here, of whose rest these addresses know nothing
            raise InvalidConfig(
                [
                    f"{self.config}: adapters: {self.root} was used with other addresses, and what it knows belongs to "
                    f"what is stored there: choose another --data-dir, or, if you have moved all of it, write "
                    f"{msgspec.json.encode(wanted).decode()} into {self._adapters}"
                ]
            )
        self.root.mkdir(parents=True, exist_ok=True)
        write_whole(self._adapters, msgspec.json.encode(wanted))

    @property
    def _adapters(self) -> Path:
        return self.root / "adapters.json"

    def _elsewhere(self) -> dict[str, str]:
        try:
            return msgspec.json.decode(self._adapters.read_bytes(), type=dict[str, str])
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise Unavailable(f"cannot read {self._adapters}: {error}") from error
        except msgspec.DecodeError as error:
            raise Corrupt(f"{self._adapters} is damaged: {error}") from error

    def _sqlite(self, name: str) -> str:
        return f"sqlite:{self.root / name}.db?durability={self.durability}"

    def spool(self, service: str) -> str:
        return f"spool:{self.root / 'spool' / service}"

    @property
    def warehouse_cursor(self) -> Path:
        """The offset up to which the warehouse is loaded."""
        return self.root / "batch" / "warehouse.cursor"

    def spools(self) -> list[Path]:
        """The directory of every spool, also of services that are no longer configured."""
        return sorted(path for path in (self.root / "spool").glob("*") if path.is_dir())

    def refused(self) -> list[Path]:
        """Files of delivery records that tracking refused."""
        return sorted((self.root / "spool").glob("*/refused"))

    def damaged(self) -> list[Path]:
        """Segments of spools that were set aside."""
        return sorted((self.root / "spool").glob("*/*.damaged"))

    def gateway(self, sockets: str, tracking: str, http_fd: int, lifeline_fd: int) -> GatewaySettings:
        uris = self.uris
        return GatewaySettings.model_validate(
            {
                **self.edge,
                **self._common(lifeline_fd, "gateway"),
                "http_fd": http_fd,
                "catalogue": uris.catalogue,
                "models": uris.models,
                "spool": self.spool("gateway"),
                "tracking": tracking,
                "sockets": sockets,
                "contexts": uris.contexts,
                "data_dir": str(self.root),
            }
        )

    def recommender(self, name: str, address: str, tracking: str, lifeline_fd: int) -> RecommenderSettings:
        uris = self.uris
        return RecommenderSettings.model_validate(
            {
                **self._common(lifeline_fd, "recommender"),
                "name": name,
                "grpc_address": address,
                "catalogue": uris.catalogue,
                "models": uris.models,
                "contexts": uris.contexts,
                "spool": self.spool(f"recommender-{name}"),
                "tracking": tracking,
            }
        )

    def tracking(self, address: str, http_fd: int | None, lifeline_fd: int | None) -> TrackingSettings:
        uris = self.uris
        return TrackingSettings.model_validate(
            {
                **self.edge,
                **self._common(lifeline_fd, "tracking"),
                "http_fd": http_fd,
                "grpc_address": address,
                "bus": uris.bus,
                "deliveries": uris.deliveries,
                "contexts": uris.contexts,
            }
        )

    def trainer(self, lifeline_fd: int | None) -> TrainerSettings:
        uris = self.uris
        return TrainerSettings.model_validate(
            {
                **self._common(lifeline_fd, "trainer"),
                "bus": uris.bus,
                "models": uris.models,
                "warehouse": uris.warehouse,
                "state": uris.training,
            }
        )

    def batch(self, lifeline_fd: int | None) -> BatchSettings:
        uris = self.uris
        return BatchSettings.model_validate(
            {
                **self._common(lifeline_fd, "batch"),
                "bus": uris.bus,
                "models": uris.models,
                "warehouse": uris.warehouse,
                "state": str(self.root / "batch"),
                "training": uris.training,
                "deliveries": uris.deliveries,
            }
        )

    def shard(self, incarnation: str) -> str:
        """What the trainer here calls itself, by its memory."""
        return f"{self.trainer(None).shard}-{incarnation}"

    def local_recommenders(self, product: Product) -> list[str]:
        """The recommenders that run here: those the configuration gives no target."""
        return [name for name, recommender in product.recommenders.items() if recommender.target is None]

    def _common(self, lifeline_fd: int | None, service: str) -> dict[str, object]:
        config = {"config": str(self.config.absolute()), "config_before": str(self.config_before)}
        common = {**config, "config_poll_s": self.config_poll_s, "keys": str(self.keys), "clock": self.clock_uri}
        return {**common, "lifeline_fd": lifeline_fd, **self.observing, **self.tuning.get(service, {})}
