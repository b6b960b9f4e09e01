"""`python -m benchmarks [NAME ...]`: the quick ones, or those named; `--help` lists all."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from benchmarks import (
    backlog,
    catalogue,
    events,
    freshness,
    gateway,
    large,
    learning,
    million,
    overload,
    per_item,
    propensities,
    scoring,
    soak,
    trainer,
)
from benchmarks.quality import report as quality


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Something to measure. Units: minutes as measured on two quiet cores; slow ones run only by name."""

    about: str
    minutes: float
    measure: Callable[[], Iterable[str]]

    @property
    def is_slow(self) -> bool:
        return self.minutes > 2


def benchmarks(soak_s: float, seeds: int) -> dict[str, Benchmark]:
    return {
        "scoring": Benchmark(
            "ten of n items ranked, beside the memory bus and others' libraries", 1.5, scoring.measure
        ),
        "per_item": Benchmark("a posterior for each item: scored beside VW, and learnt", 1, per_item.measure),
        "learning": Benchmark("mini-batches made ready to serve", 0.1, learning.measure),
        "large": Benchmark("a million items: loading, memory, filtered top 10", 8, large.measure),
        "catalogue": Benchmark("1,000 of a million items added, hidden, changed: until served", 9, catalogue.measure),
        "gateway": Benchmark("slates per second over HTTP, beside what people build instead", 5, gateway.measure),
        "million": Benchmark("a million items through the gateway", 4, million.measure),
        "propensities": Benchmark("what counting them costs beside serving", 1.5, propensities.measure),
        "propensity-z": Benchmark("whether what is counted is true, in every policy", 4, propensities.measure_z),
        "quality": Benchmark("regret beside others at their best", 2 * seeds, partial(quality.measure, seeds)),
        "events": Benchmark("events per second from HTTP to a model", 1, events.measure),
        "trainer": Benchmark("events per second of the trainer by itself", 1, trainer.measure),
        "backlog": Benchmark("100k, 300k and 1M events that have piled up", 5, backlog.measure),
        "freshness": Benchmark("from a click to a served model, session gaps of 10 and 60 s", 7, freshness.measure),
        "overload": Benchmark("far more callers than can be served", 1, overload.measure),
        "soak": Benchmark("steady load while recommenders are killed", soak_s / 60 + 1, partial(soak.measure, soak_s)),
    }


def main() -> None:
    every = benchmarks(600, 20)
    about = [
        f"  {name:16} {one.about} ({one.minutes:g} min{', only by name' if one.is_slow else ''})"
        for name, one in every.items()
    ]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="\n".join([__doc__ or "", "", *about]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="without any, the quick ones")
    parser.add_argument("--seconds", type=float, default=600, help="how long the soak lasts")
    parser.add_argument("--seeds", type=int, default=20, help="how many worlds the quality is measured over")
    given = parser.parse_args()
    if unknown := set(given.names) - set(every):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(every)}")
    chosen = benchmarks(given.seconds, given.seeds)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; read ratios, not digits")
    for name in given.names or [name for name, one in every.items() if not one.is_slow]:
        for line in chosen[name].measure():
            print(line, flush=True)


if __name__ == "__main__":
    main()
