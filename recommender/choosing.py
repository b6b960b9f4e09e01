"""What may be shown for one query, how its slate is put together, and by which randomness."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Mask
from omakase.core.choices import Choice
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.slates import Ranked
from omakase.core.top import Indices
from recommender.displays import Display
from recommender.exposures import Exposures

_ONE = np.ones(1, dtype=np.float32)


class Chooser:
    """Chooses for one process, which remembers what it delivered where that is limited."""

    def __init__(self, keyring: Keyring, rng: np.random.Generator) -> None:
        self._keyring = keyring
        self._rng = rng
        self._exposures: dict[str, Exposures] = {}

    def choose(
        self, display: Display, eligible: Mask, k: int, weights: NDArray[np.float32] | None, now: float
    ) -> Choice:
        """Takes `eligible` for its own. Shapes: eligible and weights (n,), as the display's catalogue."""
        if display.limits is not None:
            exposures = self._exposures.setdefault(display.placement, Exposures())
            spent = exposures.spent(display, now)
            if spent is not None:
                eligible &= ~spent
        return Choice(eligible, k, display.values, display.rules, weights)

    def delivered(self, display: Display, indices: Indices, now: float) -> None:
        """Remember what was chosen. Call after `choose`, with the same display."""
        if display.limits is not None:
            self._exposures[display.placement].add(display, indices, now)

    def randomness(
        self, display: Display, person: Pseudonym, policy: str, model: str, now: float
    ) -> np.random.Generator:
        """Where the placement says so the same for a person for a while; for nobody, or else, always fresh.

        Guarantees: nothing is stored, so that a restart and other replicas change nothing. Each person's while begins
        at another time, so that not everybody's slates change at once.
        """
        if display.slate_ttl_s is None or not person:
            return self._rng
        phase = self._keyring.seed("phase", display.placement, person) / 2**128
        number = int(now / display.slate_ttl_s + phase)
        seed = self._keyring.seed("slate", display.placement, person, policy, model, str(number))
        return np.random.default_rng(seed)


def by_position(ranked: list[Ranked], display: Display) -> list[Ranked]:
    """As they will be looked at: the probability of it is in the item factor and in the predicted click.

    x is linear in the item factor, so that a linear model learns what an item would be worth at the first position.
    Without a model the probability is all that there is in the item factor: what is counted has to know it.
    """
    if display.examination.is_certain:
        return ranked
    shares = display.examination.of_first(len(ranked)).tolist()
    return [
        replace(
            item,
            item_factor=(item.item_factor if item.item_factor.size else _ONE) * np.float32(share),
            predicted_click=None if item.predicted_click is None else item.predicted_click * share,
        )
        for item, share in zip(ranked, shares, strict=True)
    ]
