"""What the shoppers count while they run."""

from __future__ import annotations

from dataclasses import dataclass, field

from omakase.demo.latency import Latencies
from omakase.demo.progress import Progress, Served


@dataclass(slots=True)
class ShopperTally:
    """Mutable, used by one event loop; `progress` is what it shows of itself. Fields as in Progress."""

    errors: int = 0
    fallbacks: int = 0
    deliveries: int = 0
    accepted: int = 0
    rejected: int = 0
    unknown: int = 0
    lost: int = 0
    shed: int = 0
    latencies: Latencies = field(default_factory=Latencies)
    first_seen: dict[str, float] = field(default_factory=dict)
    served: dict[str, Served] = field(default_factory=dict)

    def answered(self, variant: str, model_version: str, is_fallback: bool, at: float, latency_ms: float) -> None:
        """One recommendation came back."""
        self.latencies.add(latency_ms)
        self.fallbacks += is_fallback
        self.served.setdefault(variant, Served())
        if model_version:
            self.first_seen.setdefault(model_version, at)

    def shown(self, variant: str, deliveries: int, expected_clicks: float) -> None:
        """Its items were put before a person."""
        self.deliveries += deliveries
        self.served[variant] = self.served.get(variant, Served()).plus(deliveries, expected_clicks)

    def progress(self, elapsed_s: float, rate: float, *, is_final: bool) -> Progress:
        return Progress(
            elapsed_s=elapsed_s,
            requests=self.latencies.count,
            errors=self.errors,
            fallbacks=self.fallbacks,
            deliveries=self.deliveries,
            accepted=self.accepted,
            rejected=self.rejected,
            unknown=self.unknown,
            lost=self.lost,
            shed=self.shed,
            rate=rate,
            latency_p50_ms=self.latencies.quantile(0.5),
            latency_p99_ms=self.latencies.quantile(0.99),
            first_seen=dict(self.first_seen),
            served=dict(self.served),
            is_final=is_final,
        )
