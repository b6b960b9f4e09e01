"""What the contract does not see of the warehouse: DuckDB's errors, the layout of files, and where it cannot write."""

import duckdb
import pytest

from omakase.adapters.local.parquet import AWAY
from omakase.adapters.local.warehouse import FileWarehouse
from omakase.core.errors import InvalidInput, Unavailable

HOUR = 3600 * 450_000
ROWS = [{"hour": HOUR, "clicks": 1}, {"hour": HOUR + 3600, "clicks": 2}]


def classes(root):
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


# Whoever adds a class to DuckDB decides here whether the machine or the question is at fault.
MACHINE = {
    "FatalException", "InterruptException", "OperationalError", "TransactionException", "OutOfMemoryException",
    "ConnectionException", "ResourceInUseException", "IOException", "HTTPException", "SerializationException",
    "InternalError", "InternalException",
}  # fmt: skip
QUESTION = {
    "Error", "DatabaseError", "PermissionException", "SequenceException", "DependencyException", "DataError",
    "OutOfRangeException", "ConversionException", "TypeMismatchException", "IntegrityError", "ConstraintException",
    "ProgrammingError", "ParserException", "SyntaxException", "BinderException", "InvalidInputException",
    "InvalidTypeException", "CatalogException", "NotSupportedError", "NotImplementedException",
}  # fmt: skip


def test_every_error_of_the_engine_is_placed():
    known = MACHINE | QUESTION
    assert {found.__name__ for found in classes(duckdb.Error)} <= known
    for found in classes(duckdb.Error):
        assert issubclass(found, AWAY) == (found.__name__ in MACHINE), found


def test_files_are_cut_by_hour_and_named_after_their_part(tmp_path):
    FileWarehouse(tmp_path).append("hourly", "loader-7", ROWS)
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    assert [str(path.parent) for path in found] == [f"hourly/hour={HOUR}", f"hourly/hour={HOUR + 3600}"]
    assert {path.name.partition(".")[0] for path in found} == {"loader-7"}
    assert list(tmp_path.rglob("*.tmp")) == []


def test_a_condition_on_the_hour_opens_no_other_file(tmp_path):
    warehouse = FileWarehouse(tmp_path)
    warehouse.append("hourly", "a", ROWS)
    # Were it opened, the query would fail.
    (tmp_path / "hourly" / f"hour={HOUR}" / "b.parquet").write_bytes(b"no parquet")
    asked = f"SELECT clicks FROM hourly WHERE hour = {HOUR + 3600}"
    assert warehouse.query(asked) == [{"clicks": 2}]


def test_is_unavailable_where_it_cannot_write(tmp_path):
    (tmp_path / "hourly").write_bytes(b"a file where a directory should be")
    with pytest.raises(Unavailable, match="hourly"):
        FileWarehouse(tmp_path).append("hourly", "a", ROWS)


def test_is_unavailable_when_a_listed_file_cannot_be_read(tmp_path):
    warehouse = FileWarehouse(tmp_path)
    warehouse.append("hourly", "a", ROWS[:1])
    (part,) = tmp_path.rglob("*.parquet")
    part.unlink()
    part.symlink_to(tmp_path / "gone")
    with pytest.raises(Unavailable, match="cannot be read"):
        warehouse.query("SELECT * FROM hourly")


def test_a_directory_with_a_quote_in_its_name_is_fine(tmp_path):
    warehouse = FileWarehouse(tmp_path / "l'été")
    warehouse.append("hourly", "a", ROWS)
    assert warehouse.query("SELECT sum(clicks) AS clicks FROM hourly") == [{"clicks": 3}]


def test_refuses_an_answer_that_is_no_cell(tmp_path):
    with pytest.raises(InvalidInput, match="cast it"):
        FileWarehouse(tmp_path).query("SELECT [1, 2] AS list")


def test_a_sum_may_exceed_the_numbers_that_it_is_of(tmp_path):
    warehouse = FileWarehouse(tmp_path)
    warehouse.append("hourly", "a", [{"hour": HOUR, "clicks": 2**62}] * 2)
    assert warehouse.query("SELECT sum(clicks) AS total FROM hourly") == [{"total": 2**63}]
