"""What `omakase follow` tells of one delivery, over the real trainer and stores, on a clock that the test moves."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from batch.loader import Cursor, Loader
from omakase.core.accounting import DeliveryEnd
from omakase.core.errors import InvalidDeliveryId
from omakase.core.events import Event
from omakase.core.sessions import Discarded
from omakase.core.slates import Slate
from omakase.deployment import Deployment
from omakase.endings import OPEN, UNREAD
from omakase.journeys import Journey, follow
from omakase.models import roll_back
from omakase.ports.event_bus import Message
from omakase.ports.model_store import Generation
from omakase.wire import encode_discarded
from tests.integration.stage import KEYS, START
from tests.integration.test_tracking import new_slate
from tests.integration.test_trainer import KEY, Desk
from tests.integration.till import PRODUCT

WINDOW_ENDS = START + 2000


class Scene(Desk):
    """A desk over what `omakase up` would have made of its directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        keys, config = directory / "keys.yaml", directory / "configuration.yaml"
        keys.write_text(KEYS)
        keys.chmod(0o600)
        config.write_text(PRODUCT)
        self.deployment = Deployment(config, directory)
        (directory / "batch").mkdir()

    def follow(self, slate: Slate, position: int = 1) -> Journey:
        return follow(self.deployment, slate.deliveries[position - 1].delivery_id)

    def load(self) -> None:
        """All that is on the bus goes into the warehouse, and leaves the bus."""
        Loader(self.bus, self.warehouse, Cursor(self.deployment.warehouse_cursor)).load()
        self.bus.acknowledge("trainer", self.bus.last_offset())
        self.bus.trim()

    def suspect(self, slate: Slate) -> None:
        """A click that nobody made."""
        self._store(events=[Event(os.urandom(16), slate.request_id, 1, "click", self.clock.now(), unwanted="bot")])


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def state(scene: Scene, slate: Slate, position: int = 1) -> str:
    return scene.follow(slate, position).ending.state


def test_a_delivery_goes_from_unread_over_open_to_learnt(scene: Scene) -> None:
    slate = replace(new_slate(), experiment="ranker", assigned_by="experiment", trace=f"00-{'a' * 32}-{'b' * 16}-01")
    assert scene.follow(slate).served is None
    scene.receive(slate)
    scene.happen(slate, (1, "click"))
    served = scene.follow(slate).served
    assert served is not None
    assert (served.experiment, served.assigned_by, served.trace) == ("ranker", "experiment", slate.trace)
    assert (served.item_id, served.model_version) == ("i0", "clicks/abc@1")
    assert state(scene, slate) == UNREAD
    scene.tick(START + 5)
    ending = scene.follow(slate).ending
    assert (ending.state, ending.session_until) == (OPEN, START + 10)
    assert ending.open_until == pytest.approx(START + 1100)
    scene.tick(START + 10)
    assert state(scene, slate) == DeliveryEnd.LEARNT
    assert state(scene, slate, 2) == OPEN


def test_the_same_is_told_after_everything_went_into_the_warehouse(scene: Scene) -> None:
    slate = new_slate()
    scene.receive(slate)
    scene.happen(slate, (1, "impression"))
    scene.tick(START + 10)
    scene.happen(slate, (1, "click"))
    scene.tick(START + 30)
    before = scene.follow(slate)
    scene.load()
    assert scene.follow(slate) == before
    assert [event.type for event in before.events] == ["impression", "click"]
    scene.deliveries.expire(WINDOW_ENDS)
    assert scene.follow(slate).served == before.served


def test_a_correction_is_a_second_lesson_in_a_later_generation(scene: Scene) -> None:
    slate = new_slate()
    scene.receive(slate)
    scene.happen(slate, (1, "impression"))
    scene.tick(START + 10)
    scene.happen(slate, (1, "click"))
    scene.tick(START + 30)
    first, second = scene.follow(slate).lessons
    assert (first.click, first.before, second.click, second.before) == (0.0, None, 1.0, (0.0, 0.0))
    assert first.publication is not None
    assert second.publication is not None
    assert (first.publication.generation, second.publication.generation) == (1, 2)


def test_what_nobody_saw_and_what_nobody_made_end_so(scene: Scene) -> None:
    unseen, suspected = new_slate(), new_slate()
    scene.receive(unseen, suspected)
    scene.happen(suspected, (1, "impression"))
    scene.suspect(suspected)
    scene.tick(START + 30)
    assert state(scene, suspected) == DeliveryEnd.EXCLUDED
    scene.tick(WINDOW_ENDS)
    assert state(scene, unseen) == DeliveryEnd.UNSEEN
    assert state(scene, suspected) == DeliveryEnd.EXCLUDED


def test_what_was_learnt_and_taken_back_is_excluded(scene: Scene) -> None:
    slate = new_slate()
    scene.receive(slate)
    scene.happen(slate, (1, "click"))
    scene.tick(START + 30)
    scene.suspect(slate)
    scene.tick(START + 60)
    assert [lesson.click for lesson in scene.follow(slate).lessons] == [1.0, None]
    scene.tick(WINDOW_ENDS)
    assert state(scene, slate) == DeliveryEnd.EXCLUDED


def test_a_slate_without_a_model_and_a_discarded_one_are_not_learnt(scene: Scene) -> None:
    plain, discarded = replace(new_slate(), model="", context_factor=np.empty(0, np.float32)), new_slate()
    scene.receive(plain, discarded)
    record = Discarded(discarded.request_id)
    scene.bus.publish([Message(os.urandom(16), START, encode_discarded(record), "discards")])
    scene.tick(START + 30)
    assert state(scene, plain) == DeliveryEnd.NOT_TRAINABLE
    assert state(scene, discarded) == DeliveryEnd.DISCARDED


def test_an_event_that_waits_for_its_record_is_told(scene: Scene) -> None:
    slate = new_slate()
    scene.happen(slate, (1, "click"), (2, "click"))
    (event,) = scene.follow(slate).events
    assert (event.type, event.is_parked) == ("click", True)


def test_a_dead_letter_is_told(scene: Scene) -> None:
    slate = replace(new_slate(), context_factor=np.ones(3, np.float32))
    scene.receive(slate)
    scene.happen(slate, (1, "click"))
    scene.tick(START + 30)
    (letter,) = scene.follow(slate).ending.dead_letters
    assert letter.startswith("features: ")


def test_a_rollback_past_the_example_is_told(scene: Scene) -> None:
    for number in range(2):
        slate = new_slate(START + 100 * number)
        scene.clock.move(START + 100 * number)
        scene.receive(slate)
        scene.happen(slate, (1, "click"))
        scene.tick(START + 100 * number + 30)
    roll_back(scene.store, KEY, Generation(1), START + 200)
    (lesson,) = scene.follow(slate).lessons
    assert lesson.publication is not None
    assert (lesson.publication.generation, lesson.publication.undone_by) == (2, 3)


def test_a_forged_id_is_refused(scene: Scene) -> None:
    with pytest.raises(InvalidDeliveryId, match="not issued"):
        follow(scene.deployment, "A" * 32)
