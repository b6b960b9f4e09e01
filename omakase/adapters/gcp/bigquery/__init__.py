"""The warehouse in BigQuery."""
