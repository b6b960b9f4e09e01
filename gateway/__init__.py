"""HTTP in, A/B routing, fallback, gRPC out. Does not know how scoring works."""
