"""Reading a log: what it becomes, and what is refused with which words."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from omakase.core.errors import InvalidInput, NotFound
from omakase.replay.items import read_items
from omakase.replay.log import read_log

HEADER = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1,user-item_affinity_0"
EARLY = "0,2019-11-24 00:00:01+00:00,a,1,0,0.25,young,,0.0"
LATE = "1,2019-11-24 00:00:02.5+00:00,b,3,1,0.5,old,tokyo,0.0"


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def test_reads_columns_in_the_order_of_time(tmp_path: Path) -> None:
    log = read_log(write(tmp_path / "log.csv", LATE, EARLY), ["a", "b"])
    assert len(log) == 2
    assert list(log.at) == [1574553601.0, 1574553602.5]
    assert (list(log.item), list(log.position), list(log.click)) == ([0, 1], [1, 3], [0, 1])
    assert list(log.propensity) == [0.25, 0.5]
    assert log.context(0) == {"user_feature_0": "young"}
    assert log.context(1) == {"user_feature_0": "old", "user_feature_1": "tokyo"}


def test_keeps_rows_of_one_moment_in_the_order_of_the_file(tmp_path: Path) -> None:
    same = [EARLY.replace(",a,", f",{item},") for item in "badc"]
    log = read_log(write(tmp_path / "log.csv", *same), list("abcd"))
    assert list(log.item) == [1, 0, 3, 2]


def test_knows_gzip_by_its_content_and_skips_a_byte_order_mark(tmp_path: Path) -> None:
    text = "\ufeff" + "\n".join([HEADER[1:], EARLY[2:], ""])
    path = tmp_path / "log.csv"
    path.write_bytes(gzip.compress(text.encode()))
    assert len(read_log(path, ["a"])) == 1


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (",0.25,", ",0,", "propensity_score '0' must be above 0"),
        (",0.25,", ",1.01,", "propensity_score '1.01'"),
        (",0.25,", ",nan,", "propensity_score 'nan'"),
        (",0.25,", ",,", "propensity_score ''"),
        (",a,1,", ",a,4,", "position '4' must be 1 to 3"),
        (",a,1,", ",a,0,", "position '0'"),
        (",a,1,", ",z,1,", "item_id 'z' is not in the items file"),
        (",0,0.25", ",2,0.25", "click '2' must be 0 or 1"),
        ("2019-11-24 00:00:01+00:00", "yesterday", "timestamp 'yesterday' must be ISO 8601"),
        ("2019-11-24 00:00:01+00:00", "2019-11-24 00:00:01", "has no offset"),
        ("2019-11-24 00:00:01+00:00", "0001-01-01 00:00:01+00:00", "between 1970 and 2099"),
        (",0.0", "", "8 cells under 9 columns"),
    ],
)
def test_refuses_a_bad_row_by_its_line(tmp_path: Path, old: str, new: str, words: str) -> None:
    assert old in EARLY
    path = write(tmp_path / "log.csv", LATE, EARLY.replace(old, new), LATE)
    with pytest.raises(InvalidInput) as refused:
        read_log(path, ["a", "b"])
    assert f"{path}, line 3: " in str(refused.value)
    assert words in str(refused.value)


def test_names_several_bad_rows_at_once_but_not_all_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", *[EARLY.replace(",a,", ",z,")] * 500)
    with pytest.raises(InvalidInput) as refused:
        read_log(path, ["a"])
    lines = str(refused.value).splitlines()
    assert len(lines) == 21
    assert "line 21" in lines[19]


def test_names_the_columns_that_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,item_id,click\n")
    with pytest.raises(InvalidInput, match="line 1: no column position, propensity_score"):
        read_log(path, ["a"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column timestamp"),
        (HEADER.encode() + b"\n", "no rows under the header"),
        (HEADER.encode() + b"\n" + EARLY.encode() + b"\xff\n", "not UTF-8"),
        (gzip.compress((HEADER + "\n" + EARLY + "\n").encode())[:-12], "damaged or cut off"),
        ((HEADER + '\n0,"2019').encode(), "not CSV"),
    ],
)
def test_refuses_a_file_that_is_no_log(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=words):
        read_log(path, ["a"])


def test_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.csv: no such file"):
        read_log(tmp_path / "gone.csv", ["a"])


def test_reads_items_with_a_number_and_hashes(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(",item_id,item_feature_0,item_feature_1\n0,7,-0.5,12\n1,8,,34\n")
    first, second = read_items(path)
    assert (first.item_id, first.metadata) == ("7", {"item_feature_0": -0.5, "item_feature_1": "12"})
    assert (second.item_id, second.metadata) == ("8", {"item_feature_1": "34"})


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("0,7,abc,x\n", "line 2: item_feature_0 'abc' must be a finite number"),
        ("0,7,inf,x\n", "line 2: item_feature_0 'inf'"),
        ("0,7,1,x\n1,7,1,x\n", "line 3: item_id '7' is there twice"),
        ("0,,1,x\n", "line 2: item_id must have 1 to 256 characters"),
        ("", "no items under the header"),
    ],
)
def test_refuses_bad_items(tmp_path: Path, rows: str, words: str) -> None:
    path = tmp_path / "items.csv"
    path.write_text(",item_id,item_feature_0,item_feature_1\n" + rows)
    with pytest.raises(InvalidInput) as refused:
        read_items(path)
    assert words in str(refused.value)


def test_a_column_without_context_gives_rows_without_context(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("timestamp,item_id,position,click,propensity_score\n2019-11-24T00:00:01Z,a,2,1,1\n")
    log = read_log(path, ["a"])
    assert log.context(0) == {}
    assert log.contexts.shape == (0, 1)
    assert np.all(log.propensity == 1.0)
