"""How much of what is bought a model learns, when orders come days after the slate: `python -m benchmarks.delay_bias`.

Deliveries are served evenly over 60 days; each is seen, and CONVERSION of them sell, after a delay that is exponential
with a mean of two days. Their events go through the real fold, in the order in which tracking receives them, up to the
60th day. What a model has learnt by then is held against what these deliveries sell in the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from omakase.core.events import CONVERSION, IMPRESSION, Event, Joined
from omakase.core.folding import fold_slate
from omakase.core.ids import NOBODY, RequestId
from omakase.core.rewards import RewardTable
from omakase.core.sessions import SessionRules, SlateRead, SlateState

DAY_S = 86_400.0
DAYS = 60
DELIVERIES = 60_000
RATE = 0.05
MEAN_DELAY_S = 2 * DAY_S
WINDOWS_D = (1, 3, 7, 14)
RECENT_D = (1, 3, 7, 14)
SEED = 1
_START = 1_760_000_000.0
_FACTOR = np.ones(1, np.float32)
_REWARDS = {"home": RewardTable({CONVERSION: 1.0})}


def learnt(served_at: Sequence[float], delays_s: Sequence[float], window_d: float, now: float) -> Iterator[float]:
    """The reward that was learnt of each delivery by `now`; `delays_s` is infinite where nothing is ever sold."""
    rules = SessionRules(600.0, 3600.0, window_d * DAY_S, 3600.0)
    for number, (at, delay_s) in enumerate(zip(served_at, delays_s, strict=True)):
        request_id = RequestId(int(at * 1000).to_bytes(6, "big") + number.to_bytes(10, "big"))
        state: SlateState | None = SlateState(request_id)
        reward = 0.0
        for kind, received_at in ((IMPRESSION, at + 1.0), (CONVERSION, at + delay_s)):
            if received_at > now:
                break
            event = _event(request_id, kind, received_at, at)
            record = SlateRead(1, is_trainable=True) if kind == IMPRESSION else None
            fold = fold_slate(state or SlateState(request_id), record, [event], received_at, rules, _REWARDS, at - 1)
            state, reward = fold.state, fold.examples[-1].outcomes["reward"] if fold.examples else reward
        if state is not None:
            fold = fold_slate(state, None, [], max(now, at + 3601.0), rules, _REWARDS)
            reward = fold.examples[-1].outcomes["reward"] if fold.examples else reward
        yield reward


def _event(request_id: RequestId, kind: str, received_at: float, served_at: float) -> Event:
    delivery = Joined(served_at, "home", "v", "ts", "m/s", NOBODY, "i", _FACTOR, _FACTOR)
    receipt_id = kind.encode()[:4] + request_id[4:]
    value = 1.0 if kind == CONVERSION else None
    return Event(receipt_id, request_id, 1, kind, received_at, value, "order", delivery=delivery)


def measure() -> list[str]:
    """The lines to print."""
    rng = np.random.default_rng(SEED)
    now = _START + DAYS * DAY_S
    served_at = np.sort(rng.uniform(_START, now, DELIVERIES))
    delays_s = np.where(rng.random(DELIVERIES) < RATE, rng.exponential(MEAN_DELAY_S, DELIVERIES), math.inf)
    sells = np.isfinite(delays_s)
    lines = [
        f"conversions, {DELIVERIES} deliveries over {DAYS} days, {RATE:.0%} sell, after {MEAN_DELAY_S / DAY_S:g} days",
        "  learnt rate / true rate      overall" + "".join(f"  last {days:2d} d" for days in RECENT_D),
    ]
    for window_d in WINDOWS_D:
        rewards = np.fromiter(learnt(served_at.tolist(), delays_s.tolist(), window_d, now), float)
        spans = [served_at >= _START, *(served_at >= now - days * DAY_S for days in RECENT_D)]
        shares = [rewards[span].sum() / sells[span].sum() for span in spans]
        lines.append(f"  reward window {window_d:2d} days       " + "".join(f"{share:9.2f}" for share in shares))
    return lines


if __name__ == "__main__":
    print("\n".join(measure()))
