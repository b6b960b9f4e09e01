"""What people build instead: FastAPI and a library, in a process of its own, logging nothing."""
