"""How a service without HTTP is told to stop; uvicorn minds its own signals."""

from __future__ import annotations

import asyncio
import signal


def stop_signals() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    return stopping
