"""A signed permission shows one variant to one person at one placement for a while, and to nobody else."""

from __future__ import annotations

import pytest

from omakase.core.errors import Forbidden
from omakase.core.ids import Keyring
from omakase.core.overrides import issue, verify

KEYRING = Keyring({1: bytes(range(32))}, 1, b"p" * 32)
PERSON = KEYRING.pseudonym("anonymous", "a1")
NOW = 1_795_600_000.0
OVERRIDE = issue(KEYRING, "home", "new", PERSON, int(NOW) + 60)


def test_shows_its_variant_until_it_expires_as_often_as_it_is_sent() -> None:
    assert verify(KEYRING, OVERRIDE, "home", PERSON, NOW) == "new"
    assert verify(KEYRING, OVERRIDE, "home", PERSON, NOW + 59.9) == "new"


def test_survives_a_rotation_of_the_signing_key() -> None:
    rotated = Keyring({2: bytes(32)}, 2, KEYRING.pseudonym_key)
    assert verify(rotated, OVERRIDE, "home", PERSON, NOW) == "new"


def test_shows_neither_the_person_nor_a_key() -> None:
    assert PERSON not in OVERRIDE
    assert len(OVERRIDE) < 200


@pytest.mark.parametrize(
    ("override", "placement", "person", "now", "message"),
    [
        (OVERRIDE, "home", PERSON, NOW + 60, "has expired"),
        (OVERRIDE, "basket", PERSON, NOW, "another placement"),
        (OVERRIDE, "home", KEYRING.pseudonym("anonymous", "a2"), NOW, "not issued for this person"),
        (OVERRIDE, "home", KEYRING.pseudonym("user", "a1"), NOW, "not issued for this person"),
        (OVERRIDE.replace("new", "old"), "home", PERSON, NOW, "not by this service"),
        (OVERRIDE.replace("home", "basket"), "basket", PERSON, NOW, "not by this service"),
        (OVERRIDE.replace(str(int(NOW) + 60), str(int(NOW) + 99)), "home", PERSON, NOW, "not by this service"),
        (OVERRIDE.replace(":17", ":017"), "home", PERSON, NOW, "as it was issued"),
        (OVERRIDE[:-1], "home", PERSON, NOW, "not by this service"),
        (OVERRIDE + ":", "home", PERSON, NOW, "as it was issued"),
        ("", "home", PERSON, NOW, "as it was issued"),
        (":::", "home", PERSON, NOW, "as it was issued"),
        ("home:new:soon:" + "x" * 22, "home", PERSON, NOW, "as it was issued"),
        ("hé:new:1795600060:x", "home", PERSON, NOW, "as it was issued"),
        ("home:new:¹²³⁴⁵⁶⁷⁸⁹⁰:x", "home", PERSON, NOW, "as it was issued"),
        (":".join("x" * 100_000), "home", PERSON, NOW, "as it was issued"),
    ],
)
def test_is_refused_for_anything_else(override, placement, person, now, message) -> None:
    with pytest.raises(Forbidden, match=message):
        verify(KEYRING, override, placement, person, now)


def test_another_service_cannot_make_one() -> None:
    forged = issue(Keyring({1: bytes(32)}, 1, b"q" * 32), "home", "new", PERSON, int(NOW) + 60)
    with pytest.raises(Forbidden):
        verify(KEYRING, forged, "home", PERSON, NOW)
