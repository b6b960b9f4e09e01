"""What may be shown for one query, how its slate is put together, and by which randomness."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from omakase.core.catalogue import Mask
from omakase.core.choices import Choice
from omakase.core.ids import Keyring, Pseudonym
from omakase.core.top import Indices
from recommender.displays import Display
from recommender.exposures import Exposures


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
