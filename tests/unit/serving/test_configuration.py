from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from omakase.config import Product
from omakase.core.errors import InvalidConfig, Unavailable
from omakase.serving.configuration import Configuration, Revision
from tests.unit.test_docs import table

GOOD = """
placements: {home: {slots: 3, variants: {all: {share: 10000, policy: chance}}}}
policies: {chance: {type: uniform}}
"""
WITH_PRIORS = GOOD.replace("uniform}", "beta_ts, priors: priors.csv}")
BROKEN = GOOD.replace("slots: 3", "slots: three")


class Followed:
    """A configuration in a file, and a clock that stands still."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now = 0.0
        self.write(GOOD)
        self.configuration = Configuration(Revision.of(path), path, 1.0, lambda: self.now)
        self.look()

    def write(self, text: str) -> None:
        self.path.write_text(text)

    def look(self, times: int = 2) -> Product:
        for _ in range(times):
            self.now += 1.0
            found = self.configuration.look()
        return found.product

    @property
    def slots(self) -> int:
        return self.configuration.newest.product.placements["home"].slots


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    return Followed(tmp_path / "product.yaml")


def test_a_change_is_taken_once_it_was_found_twice(followed):
    followed.write(GOOD.replace("3", "4"))
    followed.look(1)
    assert followed.slots == 3
    followed.look(1)
    assert followed.slots == 4


def test_a_file_that_is_still_written_is_not_taken_however_valid_each_part_is(followed):
    for slots in (4, 5, 6):
        followed.write(GOOD.replace("3", str(slots)))
        followed.look(1)
        assert followed.slots == 3
    followed.look(1)
    assert followed.slots == 6


def test_the_file_is_looked_at_no_more_often_than_it_should_be(followed):
    followed.write(GOOD.replace("3", "4"))
    for _ in range(100):
        followed.now += 0.009
        followed.configuration.look()
    assert followed.slots == 3


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda path: path.write_text(BROKEN), "product.yaml:2: placements.home.slots: must be a whole number"),
        (lambda path: path.write_text(GOOD[:40]), "product.yaml:2: not YAML"),
        (lambda path: path.write_text(""), "product.yaml:1: is empty"),
        (lambda path: path.write_bytes(b"\xff"), "product.yaml:1: is not UTF-8 text"),
        (lambda path: path.write_text(WITH_PRIORS), "priors.csv: cannot be read"),
        (Path.unlink, "product.yaml: cannot be read"),
    ],
)
def test_what_is_wrong_is_refused_and_told_once(
    followed: Followed, caplog: pytest.LogCaptureFixture, spoil: Callable[[Path], object], fault: str
) -> None:
    before = followed.configuration.newest
    spoil(followed.path)
    followed.look(30)
    assert followed.configuration.newest is before
    told = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(told) == 1
    assert fault in told[0].getMessage()
    assert REGISTRY.get_sample_value("omakase_configuration_refused") == 1
    followed.write(GOOD.replace("3", "4"))
    followed.look()
    assert followed.slots == 4
    assert REGISTRY.get_sample_value("omakase_configuration_refused") == 0


def test_all_faults_are_told_together(followed, caplog):
    followed.write(BROKEN.replace("uniform", "unifrom") + "polices: {}\n")
    followed.look()
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert record.getMessage().count("product.yaml:") == 3


def test_a_repaired_file_that_says_what_is_in_force_changes_nothing(followed):
    before = followed.configuration.newest
    followed.write(BROKEN)
    followed.look()
    followed.write(GOOD)
    followed.look()
    assert followed.configuration.newest is before


def test_a_link_that_is_swapped_is_followed(tmp_path):
    for name, slots in (("first", "3"), ("second", "4")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "product.yaml").write_text(GOOD.replace("3", slots))
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "product.yaml").symlink_to("..data/product.yaml")
    path = tmp_path / "product.yaml"
    configuration = Configuration(Revision.of(path), path, 0.0)
    (tmp_path / "..tmp").symlink_to("second")
    os.replace(tmp_path / "..tmp", tmp_path / "..data")
    configuration.look()
    configuration.look()
    assert configuration.newest.product.placements["home"].slots == 4


def test_a_file_that_it_names_is_followed_too(followed, tmp_path):
    priors = tmp_path / "priors.csv"
    followed.write(WITH_PRIORS)
    followed.look()
    first = followed.configuration.newest
    priors.write_text("item_id,alpha,beta\na,1,10\n")
    followed.look(12)
    second = followed.configuration.newest
    assert second is not first
    priors.write_text("item_id,alpha,beta\na,2,10\n")
    followed.look()
    assert followed.configuration.newest.digest != second.digest


def test_what_cannot_be_put_in_force_yet_is_told_once_until_it_is(followed, caplog):
    for _ in range(3):
        followed.configuration.postpone(Unavailable("the model store is away"))
    assert caplog.text.count("the last one stays in force: the model store is away") == 1
    assert REGISTRY.get_sample_value("omakase_configuration_refused") == 1
    followed.configuration.serve(followed.configuration.newest)
    assert REGISTRY.get_sample_value("omakase_configuration_refused") == 0
    digest = followed.configuration.newest.digest
    assert REGISTRY.get_sample_value("omakase_configuration_info", {"digest": digest}) == 1


def test_a_file_that_is_wrong_at_the_start_is_refused(tmp_path):
    (tmp_path / "product.yaml").write_text(BROKEN)
    with pytest.raises(InvalidConfig, match="slots"):
        Configuration.of(tmp_path / "product.yaml")


def test_every_section_says_who_follows_its_changes():
    """A new one must be followed by somebody, or it would silently wait for a restart."""
    rows = table("Changes")
    assert rows.keys() == Product.model_fields.keys()
    followers = ("gateway", "recommenders", "tracking", "trainer", "batch", "omakase up")
    assert all(any(who in cells[0] for who in followers) for cells in rows.values())


def test_a_copy_of_what_was_valid_is_started_from_while_the_file_is_wrong(tmp_path, caplog):
    path, copy = tmp_path / "product.yaml", tmp_path / "elsewhere" / "configuration.yaml"
    copy.parent.mkdir()
    (tmp_path / "priors.csv").write_text("item_id,alpha,beta\na,1,10\n")
    path.write_text(WITH_PRIORS)
    whole = Revision.of(path)
    copy.write_bytes(whole.text)
    path.write_text(BROKEN)
    configuration = Configuration.of(path, 0.0, before=copy)
    assert configuration.newest.digest == whole.digest
    for _ in range(3):
        configuration.look()
    assert "home.slots: must be a whole number" in caplog.text
    assert configuration.newest.digest == whole.digest
