"""Where a recommender on this machine listens: its starter and who asks it find it by its name alone."""

from __future__ import annotations

from hashlib import sha256


def socket_of(directory: str, recommender: str) -> str:
    """Its gRPC target. By a digest: a socket's path has at most 103 bytes on macOS, and names of 64 are allowed."""
    return f"unix:{directory}/{sha256(recommender.encode()).hexdigest()[:12]}.sock"
