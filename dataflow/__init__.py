"""The training pipeline: Beam transforms over the pure functions of `omakase.core`, and the loop that runs them."""

import logging

# Beam says what it lacks while it is imported, before the logs are set up: in its own format, and to nobody's use.
logging.getLogger().addHandler(logging.NullHandler())
