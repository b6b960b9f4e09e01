"""Models, the catalogue and the configuration in Cloud Storage."""
