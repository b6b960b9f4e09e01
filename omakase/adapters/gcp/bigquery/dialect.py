"""DuckDB's SQL, which is the only one we write, as BigQuery takes it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import ErrorLevel, SqlglotError

from omakase.core.errors import InvalidInput

_OURS, _THEIRS = "duckdb", "bigquery"
_UNDERLINED = re.compile(r"\x1b\[[0-9]*m")


@dataclass(frozen=True, slots=True)
class Translated:
    """A query whose `parameters` are @p0, @p1 and so on, in the order of the question marks they were."""

    text: str
    parameters: int


@lru_cache(maxsize=512)
def translate(sql: str, dataset: str, tables: Collection[str], nulls: frozenset[int] = frozenset()) -> Translated:
    """`tables` without a dataset are those of `dataset`, a name such as `project.name`. Parameters that are null are
    written into the text, since BigQuery has none without a type.

    Raises: InvalidInput for what is not one statement of DuckDB's SQL, or has no like in BigQuery's.
    """
    try:
        named, parameters = _with_names(sql)
        (statement, *others) = sqlglot.parse(named, read=_OURS)
        if statement is None or others:
            raise InvalidInput("syntax error: a query is one statement")
        _qualify(statement, dataset, tables)
        _write_nulls(statement, nulls)
        _spell_hashes(statement)
        text = statement.sql(_THEIRS, unsupported_level=ErrorLevel.RAISE, comments=False)
    except SqlglotError as error:
        raise InvalidInput(f"syntax error: {_UNDERLINED.sub('', str(error))}") from error
    return Translated(text, parameters)


def _with_names(sql: str) -> tuple[str, int]:
    """Question marks get names: a translated query may hold its parts in another order, or twice."""
    marks = [token for token in sqlglot.tokenize(sql, read=_OURS) if token.token_type is sqlglot.TokenType.PLACEHOLDER]
    for number, mark in reversed(list(enumerate(marks))):
        sql = f"{sql[: mark.start]}$p{number}{sql[mark.end + 1 :]}"
    return sql, len(marks)


def _qualify(statement: exp.Expr, dataset: str, tables: Collection[str]) -> None:
    project, _, name = dataset.rpartition(".")
    hidden = {expression.alias for expression in statement.find_all(exp.CTE)}
    for table in statement.find_all(exp.Table):
        if not table.db and table.name in tables and table.name not in hidden:
            # What the query calls the table stays what its columns may be named by.
            if not table.alias:
                table.set("alias", exp.TableAlias(this=exp.to_identifier(table.name)))
            table.set("db", exp.to_identifier(name, quoted=True))
            table.set("catalog", exp.to_identifier(project, quoted=True))


def _write_nulls(statement: exp.Expr, nulls: Collection[int]) -> None:
    for parameter in _parameters(statement):
        if parameter.name in {f"p{number}" for number in nulls}:
            parameter.replace(exp.null())


def _spell_hashes(statement: exp.Expr) -> None:
    """DuckDB's are hexadecimal text, BigQuery's are bytes."""
    for digest in list(statement.find_all(exp.SHA2)):
        digest.replace(exp.LowerHex(this=digest.copy()))


def _parameters(statement: exp.Expr) -> Iterator[exp.Expr]:
    return iter(list(statement.find_all(exp.Parameter, exp.Placeholder)))
