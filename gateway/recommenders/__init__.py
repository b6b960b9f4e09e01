"""The recommenders that variants are served by, over gRPC."""

from gateway.recommenders.opening import open_recommenders
from gateway.recommenders.recommender import Away, Recommender

__all__ = ["Away", "Recommender", "open_recommenders"]
