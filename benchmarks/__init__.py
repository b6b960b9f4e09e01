"""Figures of this machine: `make bench`. Everything that is compared is measured in the same run, by turns."""

import os

# As the supervisor starts the services; it has to be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
