"""A generated log with known truth: a small world, a policy that was logged in it, and what any policy earns there."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from omakase.replay.log import COLUMNS, CONTEXT_PREFIX, SLOTS

Vector: TypeAlias = NDArray[np.float64]
Table: TypeAlias = NDArray[np.float64]

_START = datetime(2019, 11, 24, tzinfo=UTC)
_SPAN_S = 7 * 86_400.0
_CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class Rows:
    """Sampled rows. Shapes: all (n,). Units: context, item index; position from 0."""

    context: NDArray[np.intp]
    position: NDArray[np.intp]
    item: NDArray[np.intp]
    click: NDArray[np.int8]
    propensity: Vector


@dataclass(frozen=True)
class World:
    """Contexts x, positions s and items a, with everything known.

    Shapes: contexts (X,) is P(x); clicks and logging (X, S, A) are P(click | x, s, a) and the logged policy's
    P(a | x, s), never 0. `levels` is how many values each context column has; their product is X.
    """

    contexts: Vector
    clicks: Table
    logging: Table
    levels: tuple[int, ...]
    quality: Vector

    @classmethod
    def random(
        cls, rng: np.random.Generator, *, items: int = 20, levels: tuple[int, ...] = (3, 4), base_rate: float = 0.01
    ) -> World:
        """A world where taste depends on the context, and a log that knows some of it and keeps full support."""
        size = int(np.prod(levels))
        quality = rng.standard_normal(items)
        taste = 0.5 * quality[None, :] + 0.5 * rng.standard_normal((size, items))
        examined = np.array([1.0, 0.8, 0.6])[:SLOTS]
        clicks = np.exp(taste)[:, None, :] * examined[None, :, None]
        clicks = np.minimum(clicks * base_rate / clicks.mean(), 0.5)
        guess = taste + 0.5 * rng.standard_normal((size, items))
        # A floor of 10 % uniform keeps every weight of the uniform policy at 10 or less.
        logging = 0.9 * np.repeat(_softmax(guess)[:, None, :], SLOTS, axis=1) + 0.1 / items
        return cls(rng.dirichlet(np.full(size, 5.0)), clicks, logging, levels, quality)

    @cached_property
    def uniform(self) -> Table:
        """Every item equally likely. Shapes: (X, S, A)."""
        return np.full(self.clicks.shape, 1.0 / self.clicks.shape[2])

    @cached_property
    def greedy(self) -> Table:
        """Mostly the best item of each context: far from what was logged. Shapes: (X, S, A)."""
        best = np.zeros(self.clicks.shape)
        np.put_along_axis(best, self.clicks.argmax(axis=2)[..., None], 1.0, axis=2)
        return 0.8 * best + 0.2 * self.uniform

    def value(self, policy: Table) -> float:
        """Clicks per impression, exactly: E_x E_s Σ_a π(a|x,s)·P(click|x,s,a), positions equally likely."""
        return float(self.contexts @ (policy * self.clicks).sum(axis=2).mean(axis=1))

    def sample(self, rows: int, rng: np.random.Generator) -> Rows:
        """Rows of the logged policy. Cost: about 0.2 µs a row and item."""
        context = rng.choice(self.contexts.size, rows, p=self.contexts)
        position = rng.integers(SLOTS, size=rows)
        cell = context * SLOTS + position
        up_to = self.logging.reshape(-1, self.logging.shape[2]).cumsum(axis=1)
        item = np.empty(rows, dtype=np.intp)
        for kind in range(len(up_to)):
            here = np.flatnonzero(cell == kind)
            item[here] = np.searchsorted(up_to[kind] / up_to[kind, -1], rng.random(here.size), side="right")
        click = (rng.random(rows) < self.clicks[context, position, item]).astype(np.int8)
        return Rows(context, position, item, click, self.logging[context, position, item])

    def weights(self, policy: Table, rows: Rows) -> Vector:
        """π(a|x,s) / p_logged. Shapes: (n,)."""
        return np.asarray(policy[rows.context, rows.position, rows.item] / rows.propensity, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class GeneratedLog:
    """Files in the format of `replay`, and what the two policies truly earn per impression."""

    log: Path
    items: Path
    uniform_value: float
    greedy_value: float


def generate(directory: Path, rows: int, seed: int, *, base_rate: float = 0.01, items: int = 20) -> GeneratedLog:
    """Write a log of `rows` rows over a week, and its items. Guarantees: the same seed gives the same bytes."""
    rng = np.random.default_rng(seed)
    world = World.random(rng, items=items, base_rate=base_rate)
    sampled = world.sample(rows, rng)
    at = np.sort(rng.uniform(0.0, _SPAN_S, rows))
    log, item_file = directory / "log.csv.gz", directory / "items.csv"
    _write_items(item_file, world)
    # No name and no time in the gzip header, and little compression: the same seed gives the same bytes, soon.
    with log.open("wb") as raw, gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as out:
        _write_rows(out, world, sampled, at)
    return GeneratedLog(log, item_file, world.value(world.uniform), world.value(world.greedy))


def _write_items(path: Path, world: World) -> None:
    lines = [",item_id,item_feature_0,item_feature_1"]
    lines += [f"{i},{i},{quality:.6f},{'abc'[i % 3]}" for i, quality in enumerate(world.quality)]
    path.write_text("\n".join(lines) + "\n")


def _write_rows(out: gzip.GzipFile, world: World, rows: Rows, at: Vector) -> None:
    names = [f"{CONTEXT_PREFIX}{i}" for i in range(len(world.levels))]
    out.write(",".join(["", *COLUMNS, *names]).encode() + b"\n")
    words = [",".join(f"u{code}" for code in np.unravel_index(x, world.levels)) for x in range(world.contexts.size)]
    for start in range(0, at.size, _CHUNK):
        cut = slice(start, start + _CHUNK)
        columns = (at, rows.item, rows.position, rows.click, rows.propensity, rows.context)
        lines = [
            f"{start + i},{_START + timedelta(seconds=t)},{item},{position + 1},{click},{chance!r},{words[context]}\n"
            for i, (t, item, position, click, chance, context) in enumerate(
                zip(*(column[cut].tolist() for column in columns), strict=True)
            )
        ]
        out.write("".join(lines).encode())


def _softmax(scores: Table) -> Table:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)
