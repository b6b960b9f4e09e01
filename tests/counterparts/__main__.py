"""`python -m tests.counterparts`: all of them by hand, where examples/gcp-emulators.yaml looks for them, until Ctrl-C.

They keep nothing: whoever starts them again begins anew, with an empty --data-dir too.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

from tests.counterparts import BIGQUERY, DATASTORE, GCS, OWNER, PUBSUB, REDIS, Counterpart

PORTS = {PUBSUB: 8085, DATASTORE: 8087, GCS: 4443, BIGQUERY: 9050, REDIS: 6379}


def main() -> None:
    os.environ[OWNER] = str(os.getpid())  # they end with this process, however it ends
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="counterparts-", ignore_cleanup_errors=True) as home:
        for counterpart, port in PORTS.items():
            print(_started(counterpart, port, Path(home)), flush=True)
        print("# They run until Ctrl-C. Tell other terminals of them by the lines above.", flush=True)
        signal.pause()


def _started(counterpart: Counterpart, port: int, home: Path) -> str:
    """What a shell has to be told."""
    address = f"127.0.0.1:{port}"
    if counterpart.command(port, home) is None:
        return f"# {counterpart.name} is not here: {counterpart.how}"
    with socket.socket() as taken:
        if taken.connect_ex(("127.0.0.1", port)) == 0:
            return (
                f"# {address} is taken: stop what listens there, or name it in the example if it is {counterpart.name}"
            )
    directory = home / counterpart.variable.lower()
    directory.mkdir()
    return f"export {counterpart.variable}={counterpart.prefix}{counterpart.start(directory, port)}"


if __name__ == "__main__":
    main()
