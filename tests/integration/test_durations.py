"""Rate, errors and duration: what the metrics say of slates, by placement, variant and why a fallback."""

from __future__ import annotations

from prometheus_client import REGISTRY

from tests.integration.stage import RunningGateway, RunningRecommender, Stage, someone_in


def duration(of: str, **labels: str) -> float:
    """Of the gateway's durations at home-top: how many, or their sum."""
    name = f"omakase_gateway_request_seconds_{of}"
    return REGISTRY.get_sample_value(name, {"placement": "home-top", **labels}) or 0.0


def test_a_slate_counts_in_the_duration_of_its_variant(gateway: RunningGateway) -> None:
    person = someone_in(gateway, "learnt")
    before = {of: duration(of, variant="learnt", fallback="") for of in ("count", "sum")}
    others = duration("count", variant="control", fallback="")
    gateway.ask(placement="home-top", anonymous_id=person)
    assert duration("count", variant="learnt", fallback="") == before["count"] + 1
    assert 0 < duration("sum", variant="learnt", fallback="") - before["sum"] < 30
    assert duration("count", variant="control", fallback="") == others


def test_a_fallback_counts_apart_by_its_reason(stage: Stage, alone: RunningGateway) -> None:
    before = duration("count", variant="learnt", fallback="open")
    person = someone_in(alone, "learnt")  # from the second on nobody waits for it: the breaker is open
    found = duration("count", variant="learnt", fallback="open")
    alone.ask(placement="home-top", anonymous_id=person)
    assert duration("count", variant="learnt", fallback="open") == found + 1 > before


def test_a_recommender_tells_how_many_came_together(gateway: RunningGateway, recommender: RunningRecommender) -> None:
    def sums() -> list[float]:
        name = "omakase_recommender_batch_requests"
        return [REGISTRY.get_sample_value(f"{name}_{of}") or 0.0 for of in ("count", "sum")]

    before = sums()
    gateway.ask(placement="home-top", anonymous_id="alone")
    assert sums() == [before[0] + 1, before[1] + 1]
    assert REGISTRY.get_sample_value("omakase_gateway_waiting_requests", {"recommender": "main"}) == 0.0
