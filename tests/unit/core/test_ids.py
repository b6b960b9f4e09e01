"""Ids: what is issued is honoured for its time, and nothing else ever is."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from omakase.core.errors import InvalidDeliveryId, InvalidInput
from omakase.core.ids import CLOCK_SKEW_S, MAX_POSITION, DeliveryId, Keyring, new_request_id, text_of

NOW = 1_700_000_000.0
DAY = 86_400.0
REQUEST = new_request_id(NOW, lambda n: bytes(range(n)))
OLD, NEW = b"o" * 32, b"n" * 32


def ring(keys: dict[int, bytes], signing_key: int) -> Keyring:
    return Keyring(keys, signing_key, b"p" * 32)


RING = ring({1: OLD}, 1)


def reason(text: str, keyring: Keyring = RING, now: float = NOW) -> str:
    with pytest.raises(InvalidDeliveryId) as refused:
        keyring.verify(text, now, DAY)
    return refused.value.reason


@pytest.mark.parametrize("position", [1, 2, MAX_POSITION])
def test_an_issued_id_leads_back_to_its_slate_and_position(position: int) -> None:
    assert RING.verify(RING.delivery_id(REQUEST, position), NOW, DAY) == DeliveryId(REQUEST, position)


@pytest.mark.parametrize("position", [-1, 0, MAX_POSITION + 1])
def test_a_position_outside_a_slate_is_not_stamped(position: int) -> None:
    with pytest.raises(InvalidInput, match="position"):
        RING.delivery_id(REQUEST, position)


def test_every_single_bit_flip_is_refused() -> None:
    raw = urlsafe_b64decode(RING.delivery_id(REQUEST, 3))
    for bit in range(len(raw) * 8):
        flipped = bytearray(raw)
        flipped[bit // 8] ^= 1 << bit % 8
        assert reason(urlsafe_b64encode(flipped).decode()) == "forged", f"bit {bit}"


@pytest.mark.parametrize("cut", [0, 1, 16, 31])
def test_a_truncated_id_is_malformed(cut: int) -> None:
    assert reason(RING.delivery_id(REQUEST, 3)[:cut]) == "malformed"


@pytest.mark.parametrize(
    "text", ["+" * 32, "é" * 32, " " * 32, "A" * 31 + "\n", "A" * 31 + "=", "A" * 36, "\ud800" * 32]
)
def test_what_is_not_spelt_as_an_id_is_malformed(text: str) -> None:
    assert reason(text) == "malformed"


def test_an_id_expires_when_it_is_older_than_the_window() -> None:
    text = RING.delivery_id(REQUEST, 1)
    assert RING.verify(text, NOW + DAY, DAY)
    assert reason(text, now=NOW + DAY + 1) == "expired"


def test_an_id_may_be_ahead_of_this_clock_by_the_skew_only() -> None:
    text = RING.delivery_id(REQUEST, 1)
    assert RING.verify(text, NOW - CLOCK_SKEW_S, DAY)
    assert reason(text, now=NOW - CLOCK_SKEW_S - 1) == "from_the_future"


def test_a_forged_id_is_called_forged_even_when_its_time_is_wrong_too() -> None:
    assert reason(ring({1: NEW}, 1).delivery_id(REQUEST, 1), now=NOW + 2 * DAY) == "forged"


def test_rotation_in_order_never_meets_an_unknown_key() -> None:
    before, distributed = ring({1: OLD}, 1), ring({1: OLD, 2: NEW}, 1)
    switched, retired = ring({1: OLD, 2: NEW}, 2), ring({2: NEW}, 2)
    for old, new in ((before, distributed), (distributed, switched)):
        for signer, verifier in ((old, new), (new, old)):
            assert verifier.verify(signer.delivery_id(REQUEST, 1), NOW, DAY)
    assert retired.verify(switched.delivery_id(REQUEST, 1), NOW, DAY)
    assert reason(distributed.delivery_id(REQUEST, 1), retired) == "forged"


@pytest.mark.parametrize(
    ("keys", "signing_key", "pseudonym_key", "complaint"),
    [
        ({1: OLD}, 2, OLD, "signing key 2 is not in the ring"),
        ({}, 1, OLD, "not in the ring"),
        ({256: OLD}, 256, OLD, "one byte"),
        ({1: b"short"}, 1, OLD, "too short"),
        ({1: OLD}, 1, b"short", "too short"),
    ],
)
def test_a_ring_that_cannot_work_is_refused(keys, signing_key, pseudonym_key, complaint) -> None:
    with pytest.raises(InvalidInput, match=complaint):
        Keyring(keys, signing_key, pseudonym_key)


def test_a_ring_does_not_show_its_keys() -> None:
    assert "o" * 8 not in repr(RING)
    assert "p" * 8 not in repr(RING)


def test_pseudonyms_are_stable_and_differ_by_person_kind_and_key() -> None:
    other = Keyring({1: OLD}, 1, b"q" * 32)
    names = [RING.pseudonym("user", "u1"), RING.pseudonym("user", "u2"), RING.pseudonym("anonymous", "u1")]
    names.append(other.pseudonym("user", "u1"))
    assert len(set(names)) == 4
    assert RING.pseudonym("user", "u1") == names[0]
    assert "u1" not in names[0]


def test_a_seed_belongs_to_its_texts_and_to_the_pseudonym_key() -> None:
    assert RING.seed("a", "b") == ring({2: NEW}, 2).seed("a", "b")  # rotating signing keys changes nothing
    others = {RING.seed("a", "c"), RING.seed("ab", ""), RING.seed("", "ab"), RING.seed("a,b")}
    others.add(Keyring({1: OLD}, 1, b"q" * 32).seed("a", "b"))
    assert len(others - {RING.seed("a", "b")}) == 5
    assert all(0 <= seed < 2**128 for seed in others)


def test_no_seed_is_somebody_s_pseudonym() -> None:
    texts = ("user:u1", "seeds", "2,4:seeds")
    assert RING.pseudonym("user", "u1") not in {text_of(RING.seed(text).to_bytes(16, "big")) for text in texts}
    assert "p" * 32 not in repr(RING)


def test_a_seal_belongs_to_its_texts_and_to_the_pseudonym_key() -> None:
    assert RING.seal("a", "b") == ring({2: NEW}, 2).seal("a", "b")
    others = {RING.seal("a", "c"), RING.seal("ab", ""), RING.seal("", "ab"), RING.seal("a,b")}
    others.add(Keyring({1: OLD}, 1, b"q" * 32).seal("a", "b"))
    assert len(others - {RING.seal("a", "b")}) == 5


def test_no_seal_is_a_seed_or_somebody_s_pseudonym() -> None:
    seeds = {text_of(RING.seed(*texts).to_bytes(16, "big")) for texts in (("a", "b"), ("user", "u1"))}
    assert seeds.isdisjoint({RING.seal("a", "b"), RING.seal("user", "u1")})
    assert RING.pseudonym("user", "u1") not in {RING.seal("user:u1"), RING.seal("user", "u1")}
