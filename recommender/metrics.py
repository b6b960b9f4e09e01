"""What a recommender counts about itself."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

SLATES = Counter("omakase_recommender_slates_total", "Slates ranked and recorded", ["placement", "policy"])
RANKING_S = Histogram(
    "omakase_recommender_ranking_seconds",
    "Time from the requests of a batch to their encoded delivery records",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25),
)
BATCH = Histogram(
    "omakase_recommender_batch_requests",
    "Requests that came in one call and were ranked together",
    buckets=(1, 2, 4, 8, 16, 32),
)
SPOOL_FAILURES = Counter("omakase_recommender_spool_failures_total", "Slates refused because the spool took no record")
CALLERS_GONE = Counter("omakase_recommender_callers_gone_total", "Slates dropped unrecorded: the caller had gone")
CONTEXTS_UNUSED = Counter(
    "omakase_recommender_stored_contexts_unused_total", "Stored contexts that were left out of a ranking", ["reason"]
)
PROPENSITIES = Counter(
    "omakase_recommender_propensities_total", "Slates whose propensities had to be counted", ["outcome"]
)
PROPENSITY_CPU_S = Counter("omakase_recommender_propensity_cpu_seconds_total", "CPU time of counting propensities")
MISFITS = Gauge("omakase_recommender_misfit_items", "Items a model cannot show: metadata does not fit", ["model"])
GENERATION = Gauge("omakase_recommender_model_generation", "Generation served, 0 is the prior", ["model"])
REFUSALS = Gauge("omakase_recommender_refused_snapshots", "Snapshots refused since the start", ["model"])
DISPLAY_FAULTS = Gauge(
    "omakase_recommender_display_faults",
    "Caps and pins of a placement that have no effect: no item has the fact, or the item is unknown",
    ["placement"],
)
VALUELESS = Gauge(
    "omakase_recommender_valueless_items", "Items without a value, at a placement that ranks by revenue", ["placement"]
)
CATALOGUE = Gauge("omakase_recommender_catalogue_generation", "Generation of the catalogue served")


@lru_cache(maxsize=4096)
def slates(placement: str, policy: str) -> Counter:
    return SLATES.labels(placement, policy)  # finding it costs more than counting
