"""Addresses are checked with the rest of the configuration."""

from __future__ import annotations

import pytest

from omakase.config.loading import parse_product
from omakase.core.errors import InvalidConfig

SHOP = """
placements: {home: {variants: {all: {share: 10000, policy: chance}}}}
policies: {chance: {type: uniform}}
adapters: {%s}
"""


def test_an_address_that_every_port_knows_is_kept_as_it_is() -> None:
    adapters = parse_product(SHOP % '"models": "gs://b/m", "deliveries": "redis://127.0.0.1:6379/0"').adapters
    assert adapters.addresses() == {"models": "gs://b/m", "deliveries": "redis://127.0.0.1:6379/0"}


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ('"models": "sqlite:/x.db"', "4: adapters.models: .*no model store has the scheme 'sqlite'; known: file:, gs:"),
        ('"bus": "somewhere"', "4: adapters.bus: .*write scheme:location"),
        ('"modles": "gs://b/m"', "4: adapters.modles: .*did you mean 'models'"),
    ],
)
def test_another_address_is_refused_with_its_line(entry: str, fault: str) -> None:
    with pytest.raises(InvalidConfig, match=fault):
        parse_product(SHOP % entry)
