"""Training examples as the warehouse keeps them, so that a model can be rebuilt from them."""

from __future__ import annotations

from omakase.core.sessions import Example
from omakase.ports.warehouse import Row
from omakase.wire import encode_factor


def example_row(sequence: int, example: Example) -> Row:
    """One example or correction. `sequence` is the tick that learnt it."""
    delivery = example.delivery
    return {
        "hour": int(example.at // 3600 * 3600),
        "sequence": sequence,
        "model": delivery.model,
        "context_factor": encode_factor(delivery.context_factor),
        "item_factor": encode_factor(delivery.item_factor),
        "item_id": delivery.item_id,
        "served_at": delivery.served_at,
        "at": example.at,
        "weight": example.weight,
        "click": example.outcomes["click"],
        "reward": example.outcomes["reward"],
        "click_before": None if example.before is None else example.before["click"],
        "reward_before": None if example.before is None else example.before["reward"],
    }
