"""What it takes the competitors to rank n items by d features: driven by `benchmarks.scoring`, a round at a time.

A line {"name", "n", "d"} prepares a contestant and is answered by {"call": what one call is}; a line {"calls"} runs it
and is answered by {"us"}, the median microseconds of a call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.timing import timed

TOP = 10
_TAUGHT = 200


def main() -> None:
    call: Callable[[], object] | None = None
    for line in sys.stdin:
        asked = json.loads(line)
        if "name" in asked:
            call = CONTESTANTS[asked["name"]](asked["n"], asked["d"])
            call()
            answer: dict[str, object] = {"ready": asked["name"]}
        else:
            assert call is not None
            answer = {"us": timed(call, asked["calls"])}
        print(json.dumps(answer), flush=True)


def _world(n: int, d: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    return rng, rng.standard_normal((n, d))


def vowpal(n: int, d: int) -> Callable[[], object]:
    """SquareCB over all items, every example parsed beforehand; the best ten by probability."""
    from vowpalwabbit import LabelType, Workspace

    rng, items = _world(n, d)
    vw = Workspace("--cb_explore_adf --squarecb --quiet")
    lines = ["|I " + " ".join(f"i{j}:{value:.6g}" for j, value in enumerate(row)) for row in items]
    parsed = [vw.example(line, labelType=LabelType.CONTEXTUAL_BANDIT) for line in lines]
    for i in rng.integers(n, size=_TAUGHT).tolist():
        shown = f"0:{-float(rng.random() < 0.2)}:0.1 {lines[i]}"
        vw.learn([vw.example(shown, labelType=LabelType.CONTEXTUAL_BANDIT), *parsed[:10]])

    def call() -> object:
        return np.argpartition(-np.array(vw.predict(parsed)), TOP)[:TOP]

    return call


def vowpal_by_item(n: int, d: int) -> Callable[[], object]:
    """SquareCB with each item's own weights: d numbers of the person crossed with the item's id, parsed beforehand."""
    from vowpalwabbit import LabelType, Workspace

    rng, people = _world(_TAUGHT, d)
    vw = Workspace("--cb_explore_adf --squarecb --quiet -q CA")
    lines = [f"|A a{i}" for i in range(n)]
    parsed = [vw.example(line, labelType=LabelType.CONTEXTUAL_BANDIT) for line in lines]
    shared = ["shared |C " + " ".join(f"c{j}:{value:.6g}" for j, value in enumerate(row)) for row in people]
    for person, i in zip(shared, rng.integers(n, size=_TAUGHT).tolist(), strict=True):
        shown = f"0:{-float(rng.random() < 0.2)}:0.1 {lines[i]}"
        texts = (person, shown)
        vw.learn([*(vw.example(text, labelType=LabelType.CONTEXTUAL_BANDIT) for text in texts), *parsed[:10]])
    request = vw.example(shared[0], labelType=LabelType.CONTEXTUAL_BANDIT)

    def call() -> object:
        return np.argpartition(-np.array(vw.predict([request, *parsed])), TOP)[:TOP]

    return call


def mabwiser(policy: str) -> Callable[[int, int], Callable[[], object]]:
    """One regression per item over d features of the context; the best ten by expectation."""

    def prepared(n: int, d: int) -> Callable[[], object]:
        from mabwiser.mab import MAB, LearningPolicy

        rng, _ = _world(n, d)
        mab = MAB(list(range(n)), getattr(LearningPolicy, policy)(), seed=1)
        mab.fit(rng.integers(n, size=2 * n), rng.integers(2, size=2 * n), rng.standard_normal((2 * n, d)))
        context = rng.standard_normal((1, d))

        def call() -> object:
            expected = mab.predict_expectations(context)
            return sorted(expected, key=expected.__getitem__)[-TOP:]

        return call

    return prepared


def river(n: int, d: int) -> Callable[[], object]:
    """LinUCB with a regression of its own for each item. It names the best item only."""
    from river import bandit

    rng, _ = _world(n, d)
    policy, arms = bandit.LinUCBDisjoint(alpha=1.0, seed=1), list(range(n))
    context = {f"c{j}": value for j, value in enumerate(rng.standard_normal(d).tolist())}
    for arm in arms:
        policy.update(arm, context, float(rng.random()))

    def call() -> object:
        return policy.pull(arms, context=context)

    return call


CONTESTANTS: dict[str, Callable[[int, int], Callable[[], object]]] = {
    "VW --squarecb, pre-parsed": vowpal,
    "VW --squarecb by item, pre-parsed": vowpal_by_item,
    "MABWiser LinTS": mabwiser("LinTS"),
    "MABWiser LinUCB": mabwiser("LinUCB"),
    "MABWiser LinGreedy": mabwiser("LinGreedy"),
    "River LinUCBDisjoint": river,
}

if __name__ == "__main__":
    main()
