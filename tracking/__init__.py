"""Tracking: events in, joined to their deliveries, on to the bus. It never learns."""
