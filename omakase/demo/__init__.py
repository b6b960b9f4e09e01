"""The demonstration: the whole loop on one machine, with simulated shoppers."""
