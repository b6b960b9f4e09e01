"""One small Protocol per file: what the services need of the world, in their own words."""
