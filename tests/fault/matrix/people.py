"""What people do with a slate, in the orders and repetitions that storefronts really send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeAlias

from tests.fault.matrix.notes import Wish


@dataclass(frozen=True, slots=True)
class Post:
    """Events that are sent together, `after_s` from when the slate came."""

    after_s: float
    wishes: Sequence[Wish]


@dataclass(frozen=True, slots=True)
class Slate:
    """As much of an answer as people look at. `items` are (item id, delivery id), best first."""

    variant: str
    items: Sequence[tuple[str, str]]


Behaviour: TypeAlias = Callable[[Random, Slate], list[Post]]


def ordinary(random: Random, slate: Slate) -> list[Post]:
    """Impressions of all, a click now and then, an order rarely; repeated, out of order, late."""
    ids = [delivery_id for _, delivery_id in slate.items]
    seen = [Wish(id_, "impression", f"seen-{id_}" if random.random() < 0.3 else "") for id_ in ids]
    posts = [Post(0.3 * random.random(), seen)]
    if ids and random.random() < 0.35:
        clicked = random.choice(ids)
        click = Wish(clicked, "click", "click-1" if random.random() < 0.3 else "")
        # Before its impression; with it or shortly after; or so late that its session has closed and it corrects.
        posts.append(Post(random.choice([0.0, 0.0, 0.3, 2.5]), [click]))
        if random.random() < 0.4:
            orders = [
                Wish(clicked, random.choice(["save", "conversion"]), f"n-{n}") for n in range(random.randint(1, 3))
            ]
            posts.append(Post(random.choice([0.2, 0.6, 3.0]), orders))
    again = random.choice(posts)
    if random.random() < 0.2:
        posts.append(Post(again.after_s + random.choice([0.0, 0.5, 2.0]), again.wishes))
    return posts


@dataclass(slots=True)
class Attack:
    """Ordinary people, and some that click and order one item of one variant whenever it is shown.

    The item is the best one of the first slate that they are given: one that is shown.
    """

    variant: str
    item_id: str = ""

    def __call__(self, random: Random, slate: Slate) -> list[Post]:
        posts = ordinary(random, slate)
        if slate.variant != self.variant or not slate.items:
            return posts
        self.item_id = self.item_id or slate.items[0][0]
        target = dict(slate.items).get(self.item_id)
        if target is not None:
            wishes = [Wish(target, "click"), *(Wish(target, "conversion", f"fake-{n}") for n in range(20))]
            posts.append(Post(0.0, wishes))
        return posts
