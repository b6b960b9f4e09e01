"""The fault matrix: each row does harm to a whole service under load, then holds every count against the others."""
