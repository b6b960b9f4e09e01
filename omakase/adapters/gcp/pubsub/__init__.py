"""The event bus, the log and announcements on Pub/Sub."""
