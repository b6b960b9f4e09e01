"""Omakase: an online contextual-bandit recommendation service."""

__version__ = "0.1.0"
