"""The ports on Google Cloud: Pub/Sub, GCS, BigQuery, Datastore and Memorystore, under the same contracts as the local.

Google's clients read where their emulators are, PUBSUB_EMULATOR_HOST and its like; nothing here needs to know.
"""
