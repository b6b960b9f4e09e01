"""The ports whose records expire, on Redis or Memorystore."""
