"""Slates for tests, written row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from omakase.core import slates
from omakase.core.examination import CERTAIN, Examination
from omakase.core.ids import Keyring, RequestId
from omakase.core.slates import Delivery, Shown
from omakase.core.values import Facts


@dataclass(frozen=True, slots=True)
class Ranked:
    """One item of a slate before it is stamped."""

    item_id: str
    score: float
    item_factor: NDArray[np.float32]
    metadata: Facts
    predicted_click: float | None = None
    value: float | None = None


def stamp(
    ranked: Sequence[Ranked], request_id: RequestId, keyring: Keyring, examination: Examination = CERTAIN
) -> tuple[Delivery, ...]:
    """As `omakase.core.slates.stamp`. All items have a predicted click, or none has."""
    shown = [Shown(one.item_id, one.item_factor, one.metadata, one.value) for one in ranked]
    predicted = [one.predicted_click for one in ranked if one.predicted_click is not None]
    columns = np.array([one.score for one in ranked]), np.array(predicted) if predicted else None
    return tuple(slates.stamp(shown, request_id, keyring, *columns, examination=examination))
