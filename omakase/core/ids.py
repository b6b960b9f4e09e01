"""Request ids, delivery ids and pseudonyms.

A delivery ID is self-certifying: tracking refuses a forged or expired one before it touches a store.

    request id  16  time-ordered: 6 bytes of Unix milliseconds, then 10 random ones
    position     1  from 1 to 255
    key id       1
    MAC          6  cut out of a keyed BLAKE2b (RFC 7693)

24 bytes, 32 URL-safe characters. One digest over the request id, the key id and which ten of the positions it is for
has 60 bytes, six for each of the ten: a slate of ten is stamped at the price of one. The item is bound by the delivery
record that the id leads to, not by the MAC: the browser sends the id alone, so a MAC over the item could only be
checked after the look-up that it is there to spare. 48 bits suffice against guessing online: each wrong guess costs the
attacker a request and reaches nothing.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, NewType

from omakase.core.errors import InvalidDeliveryId, InvalidInput

RequestId = NewType("RequestId", bytes)
Pseudonym = NewType("Pseudonym", str)

NOBODY = Pseudonym("")
MAX_POSITION = 255
CLOCK_SKEW_S = 300.0
_RANDOM_BYTES = 10
_SIGNED_BYTES = 18
_CHARACTERS = 32
_MAC_BYTES = 6
_MACS = 10  # in one digest


def new_request_id(now: float, random: Callable[[int], bytes]) -> RequestId:
    """An id that sorts by time. Units: now in Unix seconds; `random(n)` yields n bytes, `os.urandom` in production."""
    return RequestId(int(now * 1000).to_bytes(6, "big") + random(_RANDOM_BYTES))


def issued_at(request_id: RequestId) -> float:
    """When the id was made. Units: Unix seconds, to the millisecond."""
    return int.from_bytes(request_id[:6], "big") / 1000


def text_of(id_bytes: bytes) -> str:
    """The URL-safe spelling used in JSON."""
    return urlsafe_b64encode(id_bytes).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class DeliveryId:
    """One item of one slate."""

    request_id: RequestId
    position: int


@dataclass(frozen=True, slots=True)
class Keyring:
    """Keys that sign delivery ids and hide people. Distribute a new key first, then switch `signing_key`.

    Guarantees: every key verifies, exactly one signs; `repr` shows no key.
    """

    keys: dict[int, bytes] = field(repr=False)
    signing_key: int
    pseudonym_key: bytes = field(repr=False)
    _mac_keys: dict[int, bytes] = field(init=False, repr=False, compare=False)
    _seed_key: bytes = field(init=False, repr=False, compare=False)
    _seal_key: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.signing_key not in self.keys:
            raise InvalidInput(f"signing key {self.signing_key} is not in the ring {sorted(self.keys)}")
        if not all(0 <= key_id <= 255 for key_id in self.keys):
            raise InvalidInput("key ids are one byte: use 0 to 255")
        if any(len(key) < 16 for key in (*self.keys.values(), self.pseudonym_key)):
            raise InvalidInput("a key is too short: use at least 16 bytes")
        mac_keys = {key_id: blake2b(key).digest() for key_id, key in self.keys.items()}  # any length becomes 64 bytes
        object.__setattr__(self, "_mac_keys", mac_keys)
        # What is hidden of people begins with `user:` or `anonymous:`, so that this is nobody's pseudonym.
        object.__setattr__(self, "_seed_key", hmac.digest(self.pseudonym_key, b"seeds", "sha256"))
        object.__setattr__(self, "_seal_key", hmac.digest(self.pseudonym_key, b"seals", "sha256"))

    def delivery_ids(self, request_id: RequestId, count: int) -> list[str]:
        """Stamp the positions 1 to `count` of a slate. Cost: about 4 µs for each ten."""
        if not 0 <= count <= MAX_POSITION:
            raise InvalidInput(f"a slate has at most {MAX_POSITION} items, not {count}")
        key = self.signing_key
        macs = b"".join([self._macs_of(request_id, key, block) for block in range(-(-count // _MACS))])
        ends = [macs[at : at + _MAC_BYTES] for at in range(0, count * _MAC_BYTES, _MAC_BYTES)]
        raw = b"".join([request_id + bytes((position, key)) + mac for position, mac in enumerate(ends, start=1)])
        text = urlsafe_b64encode(raw).decode()
        return [text[at : at + _CHARACTERS] for at in range(0, len(text), _CHARACTERS)]

    def delivery_id(self, request_id: RequestId, position: int) -> str:
        """Stamp one position of a slate."""
        if not 1 <= position <= MAX_POSITION:
            raise InvalidInput(f"position {position} is not in 1 to {MAX_POSITION}")
        signed = request_id + bytes((position, self.signing_key))
        return urlsafe_b64encode(signed + self._mac(signed)).decode()

    def verify(self, text: str, now: float, max_age_s: float) -> DeliveryId:
        """Read a delivery ID that this service issued at most `max_age_s` ago.

        Raises: InvalidDeliveryId with reason `malformed`, `forged`, `expired` or `from_the_future`.
        """
        raw = _decode(text)
        signed, mac = raw[:_SIGNED_BYTES], raw[_SIGNED_BYTES:]
        if not signed[16] or signed[17] not in self.keys or not hmac.compare_digest(mac, self._mac(signed)):
            raise InvalidDeliveryId("forged", "delivery_id was not issued by this service, or its key was retired")
        found = DeliveryId(RequestId(signed[:16]), signed[16])
        age_s = now - issued_at(found.request_id)
        if age_s > max_age_s:
            raise InvalidDeliveryId("expired", f"delivery_id is older than the reward window of {max_age_s:g} s")
        if age_s < -CLOCK_SKEW_S:
            raise InvalidDeliveryId("from_the_future", "delivery_id is from the future: check this server's clock")
        return found

    def pseudonym(self, kind: Literal["user", "anonymous"], person_id: str) -> Pseudonym:
        """The name a person has behind the gateway. Guarantees: stable, and of no use without the key."""
        digest = hmac.digest(self.pseudonym_key, f"{kind}:{person_id}".encode(), "sha256")
        return Pseudonym(text_of(digest[:16]))

    def seed(self, *parts: str) -> int:
        """A number that belongs to these texts, such as a person and a placement, to draw the same for them again.

        Guarantees: stable as long as pseudonyms are, and not to be told without the key; no pseudonym can be made of
        it, for it has a key of its own, derived from theirs. Cost: one HMAC, about 3 µs. Units: 128 bits.
        """
        return int.from_bytes(_digest(self._seed_key, parts), "big")

    def seal(self, *parts: str) -> str:
        """What only a holder of the keys can make of these texts; the first says what they are for. Compare it with
        `hmac.compare_digest`. Guarantees: as `seed`, of which it tells nothing. Shapes: 22 URL-safe characters."""
        return text_of(_digest(self._seal_key, parts))

    def _mac(self, signed: bytes) -> bytes:
        block, at = divmod(signed[16] - 1, _MACS)
        return self._macs_of(RequestId(signed[:16]), signed[17], block)[at * _MAC_BYTES : (at + 1) * _MAC_BYTES]

    def _macs_of(self, request_id: RequestId, key_id: int, block: int) -> bytes:
        """Of ten positions; `block` 0 has the first ten."""
        signed = request_id + bytes((block, key_id))
        return blake2b(signed, key=self._mac_keys[key_id], digest_size=_MACS * _MAC_BYTES).digest()


def _decode(text: str) -> bytes:
    try:
        raw = urlsafe_b64decode(text.encode("ascii")) if len(text) == _CHARACTERS else b""
    except (UnicodeEncodeError, Base64Error):
        raw = b""
    if len(raw) != 24 or urlsafe_b64encode(raw).decode() != text:
        raise InvalidDeliveryId("malformed", "delivery_id is 32 characters of A-Z, a-z, 0-9, - and _, as issued")
    return raw


def _digest(key: bytes, parts: Sequence[str]) -> bytes:
    lengths = ",".join(str(len(part)) for part in parts)
    return hmac.digest(key, f"{lengths}:{''.join(parts)}".encode(), "sha256")[:16]
