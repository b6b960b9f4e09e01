"""The services that most integration tests ask, one shop each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.stage import RunningGateway, RunningRecommender, Shop, Stage, free_port
from tests.integration.till import Till


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.stock()
    return shop


@pytest.fixture
def recommender(stage: Stage, shop: Shop, tmp_path: Path) -> Iterator[RunningRecommender]:
    running = RunningRecommender(stage, shop, tmp_path / "spool").ready()
    yield running
    running.stop()


@pytest.fixture
def gateway(stage: Stage, shop: Shop, recommender: RunningRecommender, tmp_path: Path) -> Iterator[RunningGateway]:
    running = RunningGateway(stage, shop, tmp_path / "gateway", recommender.target)
    yield running
    running.stop()


@pytest.fixture
def alone(stage: Stage, shop: Shop, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway whose recommender is away."""
    running = RunningGateway(stage, shop, tmp_path / "gateway", f"127.0.0.1:{free_port()}")
    yield running
    running.stop()


@pytest.fixture
def till(stage: Stage, tmp_path: Path) -> Iterator[Till]:
    """Tracking with a key for orders."""
    till = Till(stage, tmp_path)
    yield till
    till.close()
