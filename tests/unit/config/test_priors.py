"""Files of informed priors, and what is said of their faults."""

from __future__ import annotations

from pathlib import Path

import pytest

from omakase.config import load_product
from omakase.config.priors import read_priors
from omakase.core.errors import InvalidConfig

PRODUCT = """
placements: {home: {variants: {a: {share: 10000, policy: rates}}}}
policies:
  rates: {type: beta_ts, priors: known/priors.csv}
"""


def faults(tmp_path: Path, text: str | bytes, name: str = "priors.csv") -> list[str]:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidConfig) as raised:
        read_priors(path)
    assert all(fault.startswith(f"{path}:") for fault in raised.value.faults)
    return [fault.removeprefix(f"{path}:") for fault in raised.value.faults]


def test_csv_and_json_say_the_same(tmp_path: Path) -> None:
    table, lines = tmp_path / "priors.csv", tmp_path / "priors.json"
    table.write_text('\ufeffbeta,item_id,alpha\r\n98,a1,2\r\n\r\n7.5,"b, 2",1e-3\r\n')
    lines.write_text('{"item_id": "a1", "alpha": 2, "beta": 98}\n\n{"item_id": "b, 2", "alpha": 0.001, "beta": 7.5}')
    assert read_priors(table) == read_priors(lines) == {"a1": (2.0, 98.0), "b, 2": (0.001, 7.5)}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a1,2", "has 2 columns, not 3"),
        ("a1,0,98", "alpha must be a number from 0.000001 to 1000000000, not '0'"),
        ("a1,2,-1", "beta must be a number from 0.000001 to 1000000000, not '-1'"),
        ("a1,nan,98", "alpha must be a number"),
        ("a1,2,inf", "beta must be a number"),
        ("a1,two,98", "alpha must be a number from 0.000001 to 1000000000, not 'two'"),
        (",2,98", "item_id must have 1 to 256 characters, not 0"),
        ("b1,2,98", "item 'b1' is given twice, first in line 2"),
        ('"a1,2,98', "is not CSV"),
    ],
)
def test_a_fault_of_a_table_names_its_line(tmp_path: Path, line: str, fault: str) -> None:
    (found,) = faults(tmp_path, f"item_id,alpha,beta\nb1,1,2\n{line}\n")
    assert found.startswith(("3:", "4:"))
    assert fault in found


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"item_id": "a1", "alpha": 2}', "3: must be one JSON object such as"),
        ('{"item_id": "a1", "alpha": 2, "beta": 3, "gamma": 4}', "3: must be one JSON object such as"),
        ('{"item_id": 1, "alpha": 2, "beta": 3}', "3: must be one JSON object such as"),
        ("[1, 2]", "3: must be one JSON object such as"),
        ("{", "3: must be one JSON object such as"),
        ("[" * 100_000, "3: must be one JSON object such as"),
        ('{"item_id": "a1", "alpha": "2", "beta": 3}', "3: alpha and beta must be numbers without quotes"),
        ('{"item_id": "a1", "alpha": true, "beta": 3}', "3: alpha must be a number"),
        ('{"item_id": "a1", "alpha": NaN, "beta": 3}', "3: alpha must be a number"),
        ('{"item_id": "a1", "alpha": 1, "beta": 1' + "0" * 400 + "}", "3: beta must be a number"),
    ],
)
def test_a_fault_of_json_names_its_line(tmp_path: Path, line: str, fault: str) -> None:
    (found,) = faults(tmp_path, f'{{"item_id": "b1", "alpha": 1, "beta": 1}}\n\n{line}\n', "priors.ndjson")
    assert found.startswith(fault)


def test_what_is_no_such_file_is_refused_in_words(tmp_path: Path) -> None:
    assert faults(tmp_path, "") == ["1: the first line must name the columns item_id, alpha, beta"]
    assert faults(tmp_path, "item,alpha,beta\n") == ["1: the first line must name the columns item_id, alpha, beta"]
    assert faults(tmp_path, "item_id,alpha,beta\n") == ["1: has no items: each needs item_id, alpha, beta"]
    assert faults(tmp_path, b"item_id,alpha,beta\na\xff,1,2\n") == ["2: is not UTF-8 text"]
    assert "must end in .csv, .json, .ndjson" in faults(tmp_path, "", "priors.xlsx")[0]
    assert "cannot be read: Is a directory" in _refusal(tmp_path, "folder.csv")
    assert len(faults(tmp_path, "item_id,alpha,beta\n" + "a,0,0\n" * 1000)) == 20


def _refusal(tmp_path: Path, name: str) -> str:
    (tmp_path / name).mkdir()
    with pytest.raises(InvalidConfig) as raised:
        read_priors(tmp_path / name)
    return str(raised.value)


def test_a_configuration_finds_its_priors_beside_it_and_is_refused_with_them(tmp_path: Path) -> None:
    config, priors = tmp_path / "shop.yaml", tmp_path / "known" / "priors.csv"
    config.write_text(PRODUCT)
    with pytest.raises(InvalidConfig, match=f"{priors}: cannot be read: No such file"):
        load_product(config)
    priors.parent.mkdir()
    priors.write_text("item_id,alpha,beta\na1,2,0\n")
    with pytest.raises(InvalidConfig, match=rf"{priors}:2: beta must be a number"):
        load_product(config)
    priors.write_text("item_id,alpha,beta\na1,2,98\n")
    assert load_product(config).policies["rates"].priors == str(priors)  # type: ignore[union-attr]
