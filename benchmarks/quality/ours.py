"""The product's own ranking core as a player: configured, encoded, learnt, scored and ranked as it is served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from benchmarks.quality.digits import DIGITS, PIXELS, DigitsGame
from benchmarks.quality.trials import Experience, Game
from benchmarks.quality.worlds import CATEGORIES, DEVICES, STYLE, TASTE, Matrix, Vector
from omakase.config.schema import Features, Model, PolicyConfig
from omakase.core.choices import Choice
from omakase.core.events import Joined
from omakase.core.features import Factor
from omakase.core.ids import NOBODY
from omakase.core.ranking import rank
from omakase.core.sessions import Example
from omakase.core.values import Facts

# What a shop would write into its configuration: nothing but the features is said.
DEFAULTS: Mapping[str, Any] = {"model": {"features": "f"}, "policy": {"type": "linear_ts"}}
PER_ITEM: Mapping[str, Any] = {**DEFAULTS, "model": {"features": "f", "type": "per_item"}}


@dataclass(frozen=True, slots=True)
class Description:
    """A game's features as they are configured; its items and people as catalogue and requests tell of them."""

    features: Features
    item: Callable[[Vector], Facts]
    person: Callable[[Vector], Facts]


def _categorical(name: str, count: int) -> dict[str, object]:
    return {"type": "categorical", "name": name, "vocabulary": [f"{name}{number}" for number in range(count)]}


def _embedding(name: str, dimensions: int) -> dict[str, object]:
    return {"type": "embedding", "name": name, "dimensions": dimensions}


SHOP = Description(
    Features.model_validate(
        {
            "item": [_embedding("style", STYLE), _categorical("category", CATEGORIES)],
            "context": [_embedding("taste", TASTE), _categorical("device", DEVICES)],
        }
    ),
    lambda row: {"style": tuple(row[:STYLE].tolist()), "category": f"category{row[STYLE:].argmax()}"},
    lambda row: {"taste": tuple(row[:TASTE].tolist()), "device": f"device{row[TASTE:].argmax()}"},
)
PICTURES = Description(
    Features.model_validate({"item": [_categorical("digit", DIGITS)], "context": [_embedding("pixels", PIXELS)]}),
    lambda row: {"digit": f"digit{row.argmax()}"},
    lambda row: {"pixels": tuple(row.tolist())},
)


def with_half_life(rounds: float) -> Mapping[str, Any]:
    """The defaults, and forgetting. A round is a second."""
    return {**DEFAULTS, "model": {**DEFAULTS["model"], "half_life_s": float(rounds)}}


class Ours:
    """Settings: `model` and `policy` as they are configured."""

    def __init__(self, settings: Mapping[str, Any], game: Game) -> None:
        self._told = PICTURES if isinstance(game, DigitsGame) else SHOP
        model = Model.model_validate(settings["model"])
        self._spec = self._told.features.compile(model.type)
        self._learner = model.compile(self._spec)
        self._policy = TypeAdapter(PolicyConfig).validate_python(settings["policy"]).compile()
        self._ids = [f"i{number}" for number in range(len(game.items))]
        self._factors = np.stack([self._spec.encode_item(self._told.item(row)) for row in game.items])
        self._state = self._learner.empty()
        self._scorer = self._learner.believe(self._state).over(self._ids, self._factors)
        self._rng = np.random.default_rng([game.seed, 3])
        self._round = 0

    def choose(self, people: Matrix, available: NDArray[np.bool_]) -> tuple[NDArray[np.intp], Vector]:
        """See Player: one ranking for each person, with a draw of its own."""
        choice = Choice(available, 1)
        shown = [rank(self._policy, self._scorer, self._encode(row), choice, self._rng).indices[0] for row in people]
        return np.array(shown), np.full(len(people), np.nan)

    def learn(self, experience: Experience) -> None:
        """See Player."""
        rows = zip(experience.people, experience.shown.tolist(), experience.clicks.tolist(), strict=True)
        batch = self._learner.summarise([self._example(*row) for row in rows])
        self._state = self._learner.absorb(self._state, batch)
        self._scorer = self._learner.believe(self._state).over(self._ids, self._factors)

    def _encode(self, person: Vector) -> Factor:
        return self._spec.encode_context(self._told.person(person))

    def _example(self, person: Vector, item: int, click: float) -> Example:
        self._round += 1
        at, context = float(self._round), self._encode(person)
        joined = Joined(at, "home", "v", "ts", "m", NOBODY, self._ids[item], context, self._factors[item])
        return Example(joined, {"click": click, "reward": click}, 1.0, at)
