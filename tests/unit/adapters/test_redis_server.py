"""How a Redis is reached, and what is said when it fails."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest
from redis import Redis, exceptions

from omakase.adapters.gcp.redis.patience import Patience
from omakase.adapters.gcp.redis.server import Address, Server
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Overloaded, Unavailable

ERRORS = [
    each for _, each in inspect.getmembers(exceptions, inspect.isclass) if issubclass(each, exceptions.RedisError)
]
TOLD = "1 10.0.0.3:6379"  # a cluster's errors read a slot and an address in it


def address(text: str) -> Address:
    return Address.of(Uri.parse(text))


def test_reads_what_an_address_says():
    found = address("rediss://me:p%40ss@10.0.0.3:6380/2?ca_file=/ca.pem&timeout_s=0.5")
    assert (found.host, found.port, found.database, found.user, found.password) == ("10.0.0.3", 6380, 2, "me", "p@ss")
    assert (found.is_tls, found.ca_file, found.timeout_s) == (True, "/ca.pem", 0.5)
    plain = address("redis://cache")
    assert (plain.port, plain.database, plain.password, plain.is_tls) == (6379, 0, None, False)


@pytest.mark.parametrize(
    "text",
    [
        "redis://:hidden@host:port/0",
        "redis://:hidden@host:1/one",
        "redis://:hid/den@host:1/0",
        "redis://:hid?den@host:1/0",
        "redis://:hidden@",
        "redis://:hidden@host:1/0?prefx=a",
        "redis://:hidden@host:1/0?prefix=a*",
        "redis://:hidden@host:1/0?expiry_s=soon",
        "redis://:hidden@host:1/0?expiry_s=0",
        "redis://:hidden@host:1/0?expiry_s=nan",
    ],
)
def test_refuses_a_wrong_address_and_repeats_no_password(text):
    with pytest.raises(InvalidInput) as refusal:
        Server.of(Uri.parse(text))
    assert "hid" not in str(refusal.value)
    assert "redis" in str(refusal.value)


def test_shows_no_password():
    assert "hidden" not in f"{address('redis://:hidden@host:1/0')} {address('redis://:hidden@host:1/0')!r}"


@pytest.mark.parametrize("error", ERRORS)
def test_whatever_the_client_raises_is_said_in_our_words(error):
    def fail(_: Redis) -> None:
        raise error(TOLD)

    with pytest.raises(Unavailable, match="cannot do it"):
        Patience(0.001).with_client(Redis(), "cannot do it", fail)


def test_a_full_server_is_overloaded_and_says_what_to_change():
    def fail(_: Redis) -> None:
        raise exceptions.OutOfMemoryError("maxmemory")

    with pytest.raises(Overloaded, match="expiry_s") as refusal:
        Patience(10.0).with_client(Redis(), "cannot do it", fail)
    assert refusal.value.retry_after_s > 0


def test_tries_again_what_may_pass_and_nothing_else():
    passing = iter([exceptions.BusyLoadingError(), exceptions.ReadOnlyError(), exceptions.TimeoutError()])

    def work(errors: Iterator[Exception]) -> int:
        for error in errors:
            raise error
        return 7

    assert Patience(10.0).with_client(Redis(), "cannot do it", lambda _: work(passing)) == 7
    wrong = iter([exceptions.ResponseError("a fault of ours")])
    with pytest.raises(Unavailable, match="a fault of ours"):
        Patience(10.0).with_client(Redis(), "cannot do it", lambda _: work(wrong))
