"""Logging of every process: one line an event, UTC, to standard error."""

from __future__ import annotations

import logging
import time


def set_up(service: str, level: str) -> None:
    """Call once, at the start of a process."""
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(
        level=level.upper(),
        format=f"%(asctime)s.%(msecs)03dZ %(levelname)s {service} %(name)s: %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        force=True,
    )
    for noisy in ("uvicorn.error", "apache_beam"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
