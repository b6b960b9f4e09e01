"""From the configuration, and what the deployment says, to where recommenders are."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

from omakase.config import Product
from omakase.core.errors import InvalidConfig
from omakase.sockets import socket_of

Target: TypeAlias = str | Sequence[str]

# A name that may have several addresses, each of them a replica.
NAMED = "dns:///"
_NAME_AND_PORT = re.compile(r"[\w.-]+:\d+")


@dataclass(frozen=True, slots=True)
class Targets:
    """What the deployment says of where recommenders are. It goes before the configuration's own targets.

    With `sockets`, a directory, one of which nobody says anything is on this machine.
    """

    given: Mapping[str, Target]
    sockets: str | None = None

    @classmethod
    def of(cls, told: str, sockets: str | None = None) -> Self:
        """`told` is JSON, name to target or to a list of them. Raises: InvalidConfig."""
        try:
            given = json.loads(told)
        except ValueError:
            given = None
        if not isinstance(given, dict) or not all(map(_is_target, given.values())):
            raise InvalidConfig(['OMAKASE_RECOMMENDERS: must be a JSON object such as {"main": "127.0.0.1:9000"}'])
        return cls(given, sockets)

    def check(self, product: Product) -> None:
        """Raises: InvalidConfig naming every recommender without a target that can be used, and every name that nobody
        configured."""
        unknown = self.given.keys() - product.recommenders
        faults = [f"recommenders: {name!r} is not in the configuration" for name in unknown]
        if faults := sorted(faults + self._faults(product)):
            raise InvalidConfig(faults)

    def named_by(self, product: Product) -> dict[str, Target]:
        """By recommender. Raises: InvalidConfig naming every one without a target that can be used."""
        if faults := self._faults(product):
            raise InvalidConfig(faults)
        return {name: found for name in product.recommenders if (found := self._find(name, product)) is not None}

    def _faults(self, product: Product) -> list[str]:
        return [fault for name in product.recommenders for fault in _faults_of(name, self._find(name, product))]

    def _find(self, name: str, product: Product) -> Target | None:
        target = self.given.get(name) or product.recommenders[name].target
        return socket_of(self.sockets, name) if target is None and self.sockets else target


def parts_of(named: str) -> tuple[str, int]:
    """Name and port of a target that `check` has let pass."""
    name, _, port = named.removeprefix(NAMED).rpartition(":")
    return name, int(port)


def _faults_of(name: str, found: Target | None) -> list[str]:
    if found is None:
        return [f"recommenders.{name}: needs a target, here or in OMAKASE_RECOMMENDERS"]
    targets = (found,) if isinstance(found, str) else found
    wrong = [one for one in targets if one.startswith(NAMED) and not _NAME_AND_PORT.fullmatch(one[len(NAMED) :])]
    return [f"recommenders.{name}: {one!r} must be {NAMED}NAME:PORT" for one in wrong]


def _is_target(given: object) -> bool:
    if isinstance(given, list):
        return bool(given) and all(isinstance(target, str) for target in given)
    return isinstance(given, str)
