"""What a recommender counts about itself."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SLATES = Counter("omakase_recommender_slates_total", "Slates ranked and recorded", ["placement", "policy"])
RANKING_S = Histogram(
    "omakase_recommender_ranking_seconds",
    "Time from a decoded request to its encoded delivery record",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25),
)
SPOOL_FAILURES = Counter("omakase_recommender_spool_failures_total", "Slates refused because the spool took no record")
CALLERS_GONE = Counter("omakase_recommender_callers_gone_total", "Slates dropped unrecorded: the caller had gone")
CONTEXTS_UNUSED = Counter(
    "omakase_recommender_stored_contexts_unused_total", "Stored contexts that were left out of a ranking", ["reason"]
)
MISFITS = Gauge("omakase_recommender_misfit_items", "Items a model cannot show: metadata does not fit", ["model"])
GENERATION = Gauge("omakase_recommender_model_generation", "Generation served, 0 is the prior", ["model"])
REFUSALS = Gauge("omakase_recommender_refused_snapshots", "Snapshots refused since the start", ["model"])
CATALOGUE = Gauge("omakase_recommender_catalogue_generation", "Generation of the catalogue served")
