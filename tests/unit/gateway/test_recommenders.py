from __future__ import annotations

import pytest

from gateway.recommenders import Targets
from omakase.config import parse_product
from omakase.core.errors import InvalidConfig

PRODUCT = parse_product(
    """
placements: {home: {variants: {all: {share: 10000, policy: chance}}}}
policies: {chance: {type: uniform}}
recommenders: {main: {}, canary: {target: "127.0.0.1:9001"}}
"""
)


@pytest.mark.parametrize("targets", ["", "[]", "null", '{"main": 9000}', "main=127.0.0.1:9000"])
def test_refuses_targets_that_are_no_object_of_texts(targets):
    with pytest.raises(InvalidConfig, match="must be a JSON object"):
        Targets.of(targets)


def test_names_every_recommender_without_a_target_and_every_unknown_name():
    with pytest.raises(InvalidConfig) as raised:
        Targets.of('{"man": "127.0.0.1:9000"}').check(PRODUCT)
    assert raised.value.faults == [
        "recommenders.main: needs a target, here or in OMAKASE_RECOMMENDERS",
        "recommenders: 'man' is not in the configuration",
    ]


def test_a_name_needs_a_port():
    for target in ("dns:///recommender-main", "dns:///:50051", "dns:///recommender-main:grpc"):
        with pytest.raises(InvalidConfig, match=r"recommenders.main: .* must be dns:///NAME:PORT"):
            Targets({"main": [target]}).check(PRODUCT)
    Targets({"main": "dns:///recommender-main.omakase.svc.cluster.local:50051"}).check(PRODUCT)
