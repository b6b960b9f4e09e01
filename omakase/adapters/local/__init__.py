"""The ports on one machine: SQLite, files and DuckDB. Product code, under the same contracts as the cloud's."""
