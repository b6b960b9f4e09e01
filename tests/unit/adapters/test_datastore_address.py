"""Which addresses of Datastore are taken."""

from __future__ import annotations

import pytest

from omakase.adapters import open_context_store
from omakase.core.errors import InvalidInput


@pytest.fixture(autouse=True)
def emulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATASTORE_EMULATOR_HOST", "127.0.0.1:1")  # nothing is asked of it


@pytest.mark.parametrize(
    "address", ["datastore:shop", "datastore:shop/people", "datastore:shop?namespace=n&expiry_s=0.5&remembered=10"]
)
def test_a_project_a_database_and_options_are_taken(address: str) -> None:
    assert open_context_store(address).at_hand([]) == {}


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("datastore:", "write datastore:PROJECT"),
        ("datastore:shop/people/more", "write datastore:PROJECT"),
        ("datastore:shop?expiry=5", "unknown option 'expiry'; did you mean 'expiry_s'"),
        ("datastore:shop?expiry_s=soon", "expiry_s is a number from 0, not 'soon'"),
        ("datastore:shop?remembered=-1", "remembered is a number from 0"),
        ("datastore:shop?remembered=nan", "remembered is a number from 0"),
    ],
)
def test_what_is_wrong_with_another_is_said(address: str, hint: str) -> None:
    with pytest.raises(InvalidInput, match=hint):
        open_context_store(address)
