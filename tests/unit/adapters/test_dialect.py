"""Queries in DuckDB's SQL, as BigQuery is asked them."""

from __future__ import annotations

import pytest

from omakase.adapters.gcp.bigquery.dialect import translate
from omakase.core.errors import InvalidInput

TABLES = ("events", "deliveries")


def translated(sql: str, *nulls: int) -> str:
    return translate(sql, "a-project.shop", TABLES, frozenset(nulls)).text


def test_tables_of_the_port_are_those_of_the_dataset_and_others_are_left_alone():
    assert translated('SELECT events.type, d."user" FROM events, deliveries AS d, other') == (
        "SELECT events.type, d.`user` FROM `a-project`.`shop`.events AS events, "
        "`a-project`.`shop`.deliveries AS d, other"
    )


def test_what_a_query_names_itself_is_no_table_of_the_port():
    assert "shop" not in translated("WITH events AS (SELECT 1 AS n) SELECT n FROM events")


def test_parameters_keep_their_order_where_their_places_change():
    sql = "SELECT DISTINCT ON (type) type, ? AS a, '?' AS b FROM events WHERE hour = ? -- is it?"
    found = translate(sql, "a-project.shop", TABLES)
    assert found.parameters == 2
    assert "@p0 AS a" in found.text
    assert "hour = @p1" in found.text
    assert "'?' AS b" in found.text


def test_a_parameter_that_is_null_is_written_into_the_text():
    text = translated("SELECT ? AS a, ? AS b, ? AS c FROM events", 1)
    assert "@p0 AS a, NULL AS b, @p2 AS c" in text


@pytest.mark.parametrize("sql", ["", "SELEC 1", "SELECT 1; SELECT 2", "SELECT (", "SELECT 'a"])
def test_what_is_not_one_statement_is_refused_without_colours(sql):
    with pytest.raises(InvalidInput, match="syntax error") as refused:
        translated(sql)
    assert "\x1b" not in str(refused.value)
