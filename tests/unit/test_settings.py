"""Settings from the environment: a typo never becomes a default."""

from __future__ import annotations

import pytest

from omakase.core.errors import InvalidConfig
from omakase.settings import HttpSettings, TrackingSettings, TrainerSettings

TRAINER = {
    "OMAKASE_CONFIG": "shop.yaml",
    "OMAKASE_KEYS": "keys.yaml",
    "OMAKASE_BUS": "sqlite:bus.db",
    "OMAKASE_MODELS": "file:models",
    "OMAKASE_WAREHOUSE": "duckdb:warehouse",
    "OMAKASE_STATE": "trainer.db",
}


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(InvalidConfig) as refused:
        TrainerSettings.from_environ(environ)
    return refused.value.faults


def test_variables_become_typed_fields_and_the_rest_defaults() -> None:
    settings = TrainerSettings.from_environ({**TRAINER, "OMAKASE_TICK_S": "0.5", "PATH": "/bin"})
    assert (settings.bus, settings.tick_s, settings.max_messages) == ("sqlite:bus.db", 0.5, 50_000)


def test_a_misspelt_variable_names_the_nearest() -> None:
    assert faults({**TRAINER, "OMAKASE_TIK_S": "1"}) == [
        "OMAKASE_TIK_S: unknown variable; did you mean 'OMAKASE_TICK_S'?"
    ]


def test_every_fault_is_named_at_once() -> None:
    found = faults({**TRAINER, "OMAKASE_TICK_S": "0", "OMAKASE_MAX_MESSAGES": "many", "OMAKASE_XYZZY": "1"})
    assert [fault.split(":")[0] for fault in found] == ["OMAKASE_MAX_MESSAGES", "OMAKASE_TICK_S", "OMAKASE_XYZZY"]
    assert [fault.split(":")[0] for fault in faults({})] == sorted(TRAINER)


@pytest.mark.parametrize("number", ["nan", "inf", "-1", ""])
def test_an_impossible_duration_is_refused(number: str) -> None:
    assert len(faults({**TRAINER, "OMAKASE_TICK_S": number})) == 1


def test_a_child_process_reads_back_what_its_parent_set() -> None:
    settings = TrackingSettings(
        config="c",
        keys="k",
        grpc_address="127.0.0.1:0",
        bus="b",
        deliveries="d",
        contexts="c",
        http_fd=7,
        orphan_wait_s=0.25,
    )
    assert TrackingSettings.from_environ(settings.to_environ()) == settings


def test_a_field_without_a_value_is_no_variable() -> None:
    assert "OMAKASE_HTTP_FD" not in HttpSettings(config="c", keys="k").to_environ()


@pytest.mark.parametrize("told", ["shop.example", "https://shop.example/", "https://*.shop.example", "null", "* x"])
def test_what_is_no_web_origin_is_refused(told: str) -> None:
    with pytest.raises(InvalidConfig, match=r"OMAKASE_CORS_ORIGINS: .*https://shop.example"):
        HttpSettings.from_environ({"OMAKASE_CONFIG": "c", "OMAKASE_KEYS": "k", "OMAKASE_CORS_ORIGINS": told})


def test_web_origins_are_read_one_by_one() -> None:
    told = " https://shop.example  http://127.0.0.1:3000 https://[::1]:8443 "
    settings = HttpSettings(config="c", keys="k", cors_origins=told)
    assert settings.origins() == ["https://shop.example", "http://127.0.0.1:3000", "https://[::1]:8443"]
    assert HttpSettings(config="c", keys="k").origins() == []
