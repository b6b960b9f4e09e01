"""From an encoded request to ten ranked ids, beside the same bytes read once and beside what others offer.

One core, one BLAS thread, everything by turns in one run. A shared model over n items of d features; a request's
context is folded into the draw, so that the matrix has n·d numbers whatever the context.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.competitors import environment
from benchmarks.timing import timed
from omakase.config import load_product
from omakase.configured import ConfiguredModel
from omakase.core.beliefs import LinearScorer
from omakase.core.choices import Choice
from omakase.core.learners import LinearLearner
from omakase.core.policies import Thompson
from omakase.core.posterior import Statistics
from omakase.core.ranking import rank

TOP, ROUNDS, CALLS = 10, 15, 100
SHAPES = ((1000, 32), (1000, 128), (10_000, 64))
EXAMPLE = Path("examples/storefront.yaml")
OTHERS = (
    "VW --squarecb, pre-parsed",
    "MABWiser LinTS",
    "MABWiser LinUCB",
    "MABWiser LinGreedy",
    "River LinUCBDisjoint",
)
# Some of the others take a fifth of a second for a call.
_OTHERS_CALLS, _OTHERS_ROUNDS = 3, 3


def measure() -> list[str]:
    """The lines to print, from a process of its own: the number of BLAS threads is settled when it starts."""
    environ = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "benchmarks.scoring"], env=environ, stdout=subprocess.PIPE, check=True)
    return done.stdout.decode().splitlines()


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"scoring: from an encoded request to the best {TOP} ids, one core (medians, µs; ratios to Omakase's)")
    for n, d in SHAPES:
        for line in shape(n, d):
            print(line)
    print(encoding())


def shape(n: int, d: int) -> Iterator[str]:
    ours, bare = omakase(n, d), sgemv(n, d)
    near = {"bare sgemv over the same bytes": bare, "numpy, one draw of θ": one_draw(n, d)}
    if n == min(n for n, _ in SHAPES):
        near["numpy, cached covariance, a draw per item"] = draw_per_item(n, d)
    taken: dict[str, list[float]] = {"Omakase": [], **{name: [] for name in near}}
    with others(n, d) as contestants:
        far: dict[str, list[float]] = {name: [] for name in contestants}
        for i in range(ROUNDS):
            taken["Omakase"].append(timed(ours, CALLS))
            for name, call in near.items():
                taken[name].append(timed(call, CALLS))
            if i < _OTHERS_ROUNDS:
                for name, ask in contestants.items():
                    far[name].append(ask(_OTHERS_CALLS))
    found = {name: median(us) for name, us in {**taken, **far}.items()}
    yield f"  {n} × {d}"
    for name, us in found.items():
        ratio = us / found["Omakase"]
        yield f"    {name:44} {us:10.1f}   {ratio:9.2f}"


def omakase(n: int, d: int) -> Callable[[], object]:
    """The product's own path, ids and predicted clicks included."""
    rng = np.random.default_rng(1)
    scorer = believed(n, d, rng)
    ids = [f"item-{i}" for i in range(n)]
    choice, policy, context = Choice(np.ones(n, dtype=np.bool_), TOP), Thompson(), np.empty(0, dtype=np.float32)

    def call() -> object:
        return [ids[i] for i in rank(policy, scorer, context, choice, rng).indices.tolist()]

    return call


def believed(n: int, d: int, rng: np.random.Generator) -> LinearScorer:
    x = rng.standard_normal((5 * d, d))
    click = (rng.random(5 * d) < 0.05).astype(float)
    statistics = Statistics.of(x, {"click": click, "reward": click}, np.ones(5 * d))
    factors = rng.standard_normal((n, d)).astype(np.float32)
    return LinearLearner(0, d).believe(statistics).over([], factors)


def sgemv(n: int, d: int) -> Callable[[], object]:
    rng = np.random.default_rng(2)
    matrix, vector = rng.standard_normal((n, d), dtype=np.float32), rng.standard_normal(d, dtype=np.float32)
    return lambda: matrix @ vector


def one_draw(n: int, d: int) -> Callable[[], object]:
    """As a textbook has it: draw θ from a cached covariance, score in float64, sort."""
    rng = np.random.default_rng(3)
    x, a = rng.standard_normal((n, d)), rng.standard_normal((5 * d, d))
    mean, covariance = rng.standard_normal(d), np.linalg.inv(a.T @ a)
    return lambda: np.argsort(-(x @ rng.multivariate_normal(mean, covariance, method="cholesky")))[:TOP]


def draw_per_item(n: int, d: int) -> Callable[[], object]:
    """As it is often written: every item's mean and variance by a cached covariance, a draw for each."""
    rng = np.random.default_rng(4)
    x, a = rng.standard_normal((n, d)), rng.standard_normal((5 * d, d))
    mean, covariance = rng.standard_normal(d), np.linalg.inv(a.T @ a)

    def call() -> object:
        deviations = np.sqrt(((x @ covariance) * x).sum(axis=1))
        return np.argsort(-(x @ mean + deviations * rng.standard_normal(n)))[:TOP]

    return call


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of the others, in a process of its own. Called with a number of calls, gives the median of them, in µs."""

    process: subprocess.Popen[str]

    def __call__(self, calls: int) -> float:
        return float(self.told({"calls": calls})["us"])

    def told(self, asked: dict[str, object]) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def others(n: int, d: int) -> Iterator[dict[str, Contestant]]:
    """Those that take their time only at the smallest shape."""
    names = OTHERS if (n, d) == SHAPES[0] else OTHERS[:1]
    contestants = {name: Contestant(environment.start("benchmarks.competitors.speed")) for name in names}
    try:
        for name, contestant in contestants.items():
            contestant.told({"name": name, "n": n, "d": d})
        yield contestants
    finally:
        for contestant in contestants.values():
            contestant.process.terminate()
            contestant.process.wait()


def encoding() -> str:
    """A request's context encoded, beside the scoring of a thousand items, with the example's features."""
    model = ConfiguredModel.of(load_product(EXAMPLE), "home")
    facts = {"device": "ios", "segment": "loyal", "age": 41.0, "hour": 9.0, "weekday": 3.0}
    rng = np.random.default_rng(5)
    factors = rng.standard_normal((1000, model.spec.item_width)).astype(np.float32)
    scorer = model.learner.believe(model.learner.empty()).over([], factors)
    choice, policy, context = Choice(np.ones(1000, dtype=np.bool_), TOP), Thompson(), model.spec.encode_context(facts)
    rounds = [
        (
            timed(lambda: model.spec.encode_context(facts), CALLS),
            timed(lambda: rank(policy, scorer, context, choice, rng), CALLS),
        )
        for _ in range(ROUNDS)
    ]
    encoded, scored = (median(column) for column in zip(*rounds, strict=True))
    return f"  the example's request: encoded in {encoded:.1f} µs, 1000 items scored in {scored:.1f} µs"


if __name__ == "__main__":
    main()
