"""The recommenders that variants are served by, over gRPC."""

from gateway.recommenders.fleet import Fleet
from gateway.recommenders.recommender import Recommender
from gateway.recommenders.replica import Away
from gateway.recommenders.targets import Targets

__all__ = ["Away", "Fleet", "Recommender", "Targets"]
