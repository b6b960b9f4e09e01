"""What the gateway counts about itself."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter(
    "omakase_gateway_requests_total",
    "Requests by what became of them; labels are empty where they were not known yet",
    ["placement", "variant", "policy", "status", "fallback"],
)
LATENCY_S = Histogram(
    "omakase_gateway_request_seconds",
    "Time from a read body to its answer",
    ["placement", "variant", "fallback"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0),
)
RECORDS_LOST = Counter(
    "omakase_gateway_records_lost_total", "Fallback slates served without a delivery record: the spool took none"
)
SHADOWS = Counter(
    "omakase_gateway_shadows_total",
    "Shadows that were due, by what became of them: ranked, lost, refused, not_asked",
    ["outcome"],
)
CATALOGUE = Gauge("omakase_gateway_catalogue_generation", "Generation of the catalogue that fallbacks are built from")
LATE = Counter(
    "omakase_gateway_late_slates_total", "Slates that a recommender recorded and that came too late", ["recommender"]
)

IN_FLIGHT = Gauge("omakase_gateway_requests_in_flight", "Recommendations worked on, and those that wait for room")
WAITING = Gauge("omakase_gateway_waiting_requests", "Requests that wait to be sent to a recommender", ["recommender"])
RETRIES = Counter(
    "omakase_gateway_retries_total", "Requests that one replica did nothing for and another was asked", ["recommender"]
)
BREAKER_OPEN = Gauge(
    "omakase_gateway_breaker_open", "1 while a recommender's target is not asked, else 0", ["recommender", "target"]
)


def count(placement: str, variant: str, policy: str, status: str, fallback: str) -> None:
    """One more request of this kind."""
    _counted(placement, variant, policy, status, fallback).inc()


@lru_cache(maxsize=4096)
def latency(placement: str, variant: str, fallback: str) -> Histogram:
    """Of answers; `fallback` is why it is one, empty if it is none."""
    return LATENCY_S.labels(placement, variant, fallback)


@lru_cache(maxsize=4096)
def _counted(*labels: str) -> Counter:
    return REQUESTS.labels(*labels)  # finding it costs more than counting
