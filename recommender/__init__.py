"""gRPC in, ranking, delivery IDs, delivery records out. Knows nothing of experiments."""
