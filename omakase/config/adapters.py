"""Where `omakase up` keeps things instead of in its data directory."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from omakase.adapters import check_address
from omakase.config.sections import Section
from omakase.core.errors import InvalidInput


def _of(*ports: str) -> AfterValidator:
    def check(address: str) -> str:
        for port in ports:
            try:
                check_address(port, address)
            except InvalidInput as error:
                raise ValueError(str(error)) from None
        return address

    return AfterValidator(check)


_Bus: TypeAlias = Annotated[str, _of("event bus", "event log")]
_Deliveries: TypeAlias = Annotated[str, _of("delivery store", "touches", "orders", "credits", "forgotten")]


class Adapters(Section):
    """Addresses of stores, `scheme:location?option=value`; `{data_dir}` in one stands for the data directory.

    In a cluster each service's environment says where its stores are, and this section is not read.
    """

    bus: _Bus | None = None
    deliveries: _Deliveries | None = None
    contexts: Annotated[str, _of("context store")] | None = None
    catalogue: Annotated[str, _of("catalogue store")] | None = None
    models: Annotated[str, _of("model store")] | None = None
    warehouse: Annotated[str, _of("warehouse")] | None = None

    def addresses(self) -> dict[str, str]:
        """Those that are given, by the names of `omakase.deployment.Uris`."""
        return {name: address for name, address in self.model_dump().items() if address is not None}
