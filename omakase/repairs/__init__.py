"""Models made anew: from the warehouse, for other features, or from an old log."""
