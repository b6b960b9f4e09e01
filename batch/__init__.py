"""Jobs over history: what a CronJob runs in production and the built-in scheduler on one machine."""
