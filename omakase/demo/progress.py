"""What the shoppers' process tells the demo about once a second: one line of JSON each time, all counts cumulative."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Served:
    """What one variant showed. `expected_clicks` is the hidden truth: the sum of the click probabilities."""

    deliveries: int = 0
    expected_clicks: float = 0.0

    def plus(self, deliveries: int, expected_clicks: float) -> Served:
        return Served(self.deliveries + deliveries, self.expected_clicks + expected_clicks)

    @property
    def expected_ctr(self) -> float:
        return self.expected_clicks / self.deliveries if self.deliveries else 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """The shoppers' own account of a run.

    requests: recommendations answered with 200; errors: visits that got none; fallbacks: answers that said so;
    deliveries: items in the answers. accepted: events answered with 202; rejected: events refused for good;
    unknown: events in attempts that may or may not have been accepted; lost: events given up. shed: arrivals turned
    away to spare the machine. Units: elapsed_s in seconds, rate in requests/s over the last second, latencies in
    milliseconds, first_seen in Unix seconds by model version.
    """

    elapsed_s: float = 0.0
    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    deliveries: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    lost: int = 0
    shed: int = 0
    rate: float = 0.0
    latency_p50_ms: float = 0.0
    latency_p99_ms: float = 0.0
    first_seen: Mapping[str, float] = field(default_factory=dict)
    served: Mapping[str, Served] = field(default_factory=dict)
    is_final: bool = False

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Raises: ValueError or TypeError if the line is not one that `to_json` made."""
        told = json.loads(line)
        return cls(**{**told, "served": {variant: Served(**served) for variant, served in told["served"].items()}})
