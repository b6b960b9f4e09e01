"""Slates per second over HTTP through the whole product, beside what people build instead, all by turns in one run.

Top 10 of 1000 items of 32 numbers. The product does all that it does: an experiment, a holdout, its spool, tracking,
propensities, the trainer. The others rank and answer, and log nothing. After each of its runs the product has the
machine to itself until tracking, trainer and counting have nothing left to do, so that none of its work is another's
burden; that work is in its CPU time.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from statistics import median

from benchmarks import contestants, cpu, shop
from benchmarks.contestants import Contestant
from benchmarks.load import FAULTS, Figures, measured
from omakase.accounts import read_account
from omakase.supervisor import Supervisor

SLOTS, NUMBERS = 10, 32
CONNECTIONS = (32, 128)
ROUNDS, SECONDS, WARM_UP_S = 3, 4.0, 2.0
HALF_LOAD_CONNECTIONS = 128
SETTLE_S = 120.0
TAUGHT = 500
# A constant is one of the numbers.
PRODUCT = f"""
placements:
  home-top:
    slots: {SLOTS}
    variants:
      learnt: {{share: 10000, policy: thompson, model: home}}
holdout: {{share: 200, salt: "2026"}}
experiments:
  boldness:
    placements: [home-top]
    variants:
      usual: {{share: 2500, policy: thompson, model: home}}
      bold: {{share: 2500, policy: bolder, model: home}}
policies:
  thompson: {{type: linear_ts}}
  bolder: {{type: linear_ts, exploration: 0.5}}
models:
  home: {{features: home}}
features:
  home:
    item:
      - {{type: embedding, name: style, dimensions: {NUMBERS - 1}}}
    context:
      - {{type: categorical, name: device, vocabulary: [ios, android, web, tv]}}
"""
OURS, NUMPY, UNARY, BARE = "Omakase", "FastAPI, numpy", "FastAPI, unary gRPC, numpy", "FastAPI, constant slate"
RIVALS: Mapping[str, Callable[[], AbstractContextManager[Contestant]]] = {
    NUMPY: lambda: contestants.rival("numpy"),
    "FastAPI, VW --squarecb": lambda: contestants.rival("vowpal", is_library=True),
    "FastAPI, MABWiser LinGreedy": lambda: contestants.rival("mabwiser", is_library=True),
    UNARY: contestants.unary,
    BARE: lambda: contestants.rival("constant"),
}
# How much better: the goal of the project.
GOALS = {NUMPY: 1.5, "FastAPI, VW --squarecb": 3.0, "FastAPI, MABWiser LinGreedy": 3.0, UNARY: 3.0}


@dataclass(slots=True)
class Field:
    """All who run, and what was found: figures by what was done and by whom, CPU seconds by process as well.

    `beside`: what share of a core the product took while others ran.
    """

    everybody: Mapping[str, Contestant]
    bodies: bytes = field(default_factory=shop.asks)
    found: defaultdict[tuple[str, str], list[Figures]] = field(default_factory=lambda: defaultdict(list))
    spent_s: defaultdict[tuple[str, str, str], float] = field(default_factory=lambda: defaultdict(float))
    settled_s: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    answers: int = 0

    def run(self, what: str, name: str, connections: int, seconds: float = SECONDS, rate: float | None = None) -> None:
        """One run of one of them, to the end of what it leaves to do."""
        one, ours, started = self.everybody[name], self.everybody[OURS].pids, time.monotonic()
        before, ours_s = cpu.of_each(one.pids), sum(cpu.of_each(ours).values())
        figures = measured(one.url, self.bodies, connections, seconds, rate=rate, even=what == "even", items=SLOTS)
        if name == OURS:
            self.answers += figures.answers
            self.settled_s.append(cpu.wait_until_quiet(one.pids.values(), SETTLE_S))
        else:
            self.beside.append((sum(cpu.of_each(ours).values()) - ours_s) / (time.monotonic() - started))
        for process, after in cpu.of_each(one.pids).items():
            self.spent_s[what, name, process] += after - before[process]
        self.found[what, name].append(figures)

    def median(self, what: str, name: str, figure: str) -> float:
        return median(float(getattr(one, figure)) for one in self.found[what, name])

    def faults(self, name: str) -> int:
        return sum(one.faults for (_, who), runs in self.found.items() for one in runs if who == name)

    def resent(self, name: str) -> int:
        return sum(one.resent for (_, who), runs in self.found.items() for one in runs if who == name)

    def told(self, what: str, name: str) -> str:
        """What went wrong in these runs, in words; nothing if nothing did."""
        runs = self.found[what, name]
        answers = sum(one.answers for one in runs)
        counts = {fault: sum(getattr(one, fault) for one in runs) for fault in FAULTS}
        return "".join(f"   {count / answers:.1%} {fault}" for fault, count in counts.items() if count)


def measure() -> Iterator[str]:
    """The lines to print."""
    with ExitStack() as stack:
        up = stack.enter_context(shop.running(product=PRODUCT, catalogue=shop.items(NUMBERS - 1)))
        rivals = {name: stack.enter_context(start()) for name, start in RIVALS.items()}
        shop.teach(up, TAUGHT)
        field = Field({OURS: contestants.product(up), **rivals}, answers=TAUGHT)
        for name in field.everybody:
            field.run("warm-up", name, CONNECTIONS[0], WARM_UP_S)
        yield f"gateway, top {SLOTS} of {shop.ITEMS} items of {NUMBERS} numbers; medians of {ROUNDS} rounds by turns"
        yield from capacity(field)
        yield from idle(field)
        yield from half_load(field)
        yield from account(field, up)


def capacity(field: Field) -> Iterator[str]:
    for connections in CONNECTIONS:
        what = f"{connections} connections"
        for _ in range(ROUNDS):
            for name in field.everybody:
                field.run(what, name, connections)
        yield f"  {what:34}      /s   p50 ms   p99 ms   Omakase's rate by theirs           CPU µs a slate"
        for name in field.everybody:
            yield _row(field, what, name)
    yield _costs(field, f"{CONNECTIONS[0]} connections")


def _row(field: Field, what: str, name: str) -> str:
    per_second, p50_ms, p99_ms = (field.median(what, name, key) for key in ("per_second", "p50_ms", "p99_ms"))
    pairs = zip(field.found[what, OURS], field.found[what, name], strict=True)
    ratios = [ours.per_second / theirs.per_second for ours, theirs in pairs]
    answers = sum(one.answers for one in field.found[what, name])
    spent = sum(s for (done, who, _), s in field.spent_s.items() if (done, who) == (what, name)) / answers * 1e6
    ratio = f"{median(ratios):6.2f} ({min(ratios):.2f} to {max(ratios):.2f})" if name != OURS else ""
    goal = f", goal {GOALS[name]:g}" if name in GOALS else ""
    figures = f"{per_second:7.0f} {p50_ms:8.1f} {p99_ms:8.1f}   {ratio + goal:34} {spent:8.0f}"
    return f"    {name:32} {figures}{field.told(what, name)}"


def _costs(field: Field, what: str) -> str:
    """Where Omakase's time goes, until all is recorded and read by the trainer."""
    answers = sum(one.answers for one in field.found[what, OURS])
    parts = [
        f"{process} {spent_s / answers * 1e6:.0f}"
        for (done, name, process), spent_s in field.spent_s.items()
        if (done, name) == (what, OURS)
    ]
    load_us = field.median(what, OURS, "cpu_us")
    return f"  of Omakase's CPU µs a slate at {what}: {', '.join(parts)}; the load generator {load_us:.0f} beside it"


def idle(field: Field) -> Iterator[str]:
    """One request at a time."""
    who = (OURS, NUMPY, UNARY)
    for _ in range(ROUNDS):
        for name in who:
            field.run("idle", name, 1, SECONDS / 2)
    yield "  one connection, one request at a time"
    unary_ms = field.median("idle", UNARY, "p50_ms")
    for name in who:
        p50_ms, p99_ms = field.median("idle", name, "p50_ms"), field.median("idle", name, "p99_ms")
        figures = f"p50 {p50_ms:5.2f} ms, {p50_ms / unary_ms:.2f} × unary gRPC   p99 {p99_ms:5.2f} ms"
        yield f"    {name:32} {figures}{field.told('idle', name)}"


def half_load(field: Field) -> Iterator[str]:
    """At half of what each can do, by the clock."""
    who, what = (OURS, NUMPY), f"{CONNECTIONS[0]} connections"
    rates = {name: field.median(what, name, "per_second") / 2 for name in who}
    for _ in range(ROUNDS):
        for arrivals in ("even", "random"):
            for name in who:
                field.run(arrivals, name, HALF_LOAD_CONNECTIONS, rate=rates[name])
    yield "  at half of its own rate, latencies from when a request was due; goal: p99 at most 3 × p50"
    for name in who:
        for arrivals in ("even", "random"):
            p50_ms, p99_ms = field.median(arrivals, name, "p50_ms"), field.median(arrivals, name, "p99_ms")
            yield (
                f"    {name:32} {rates[name]:8.0f}/s {arrivals:6}   p50 {p50_ms:.1f} ms   p99 {p99_ms:.1f} ms, "
                f"{p99_ms / p50_ms:.1f} × p50{field.told(arrivals, name)}"
            )


def account(field: Field, up: Supervisor) -> Iterator[str]:
    """Whether each slate that was answered is accounted for."""
    deadline = time.monotonic() + SETTLE_S
    while (found := read_account(up.deployment)).unread and time.monotonic() < deadline:
        time.sleep(0.5)
    faults = found.faults() + ([f"{found.unread} messages unread"] if found.unread else [])
    # What came too late for its answer, or twice, is recorded as well; an answer that was an error may not be.
    if abs(found.recorded / SLOTS - field.answers) > field.faults(OURS) + field.resent(OURS):
        faults.append(f"{found.recorded} deliveries recorded of {field.answers} slates of {SLOTS}")
    bad = ", ".join(f"{count} of {name}" for name in field.everybody if (count := field.faults(name)))
    yield f"  {', '.join(FAULTS)}: {bad or 'none'}; sent again over a new connection: {field.resent(OURS)}"
    yield (
        f"  {field.answers} slates of Omakase's, at rest within {max(field.settled_s):.1f} s of each run, and then "
        f"at {median(field.beside):.0%} of a core beside the others (at most {max(field.beside):.0%}); "
        f"accounting: {'; '.join(faults) or 'balanced'}"
    )
