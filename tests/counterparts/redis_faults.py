"""A wire between a client and a Redis, which fails commands by a script and hands on the others."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Literal, TypeAlias

Fault: TypeAlias = Literal["before", "half", "after"] | bytes
"""The connection is reset before the server hears of the command, when it has half of it, or when it has done it; or
these bytes are the answer, and the server never hears of it."""

READONLY = b"-READONLY You can't write against a read only replica.\r\n"
LOADING = b"-LOADING Redis is loading the dataset in memory\r\n"


class Wire:
    """`faults` are taken one after the other by the commands of that name, in capitals; `seen` counts all commands, and
    `connections` who came."""

    def __init__(self, server: str) -> None:
        host, _, port = server.partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.faults: dict[str, list[Fault]] = {}
        self.seen: Counter[str] = Counter()
        self.connections = 0
        threading.Thread(target=self._accept, name="wire", daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with suppress(OSError, EOFError), client, socket.create_connection(self._server) as server:
            asking, answering = client.makefile("rb"), server.makefile("rb")
            with asking, answering:
                while self._hand_on(client, server, asking, answering):
                    pass

    def _hand_on(self, client: socket.socket, server: socket.socket, asking: BinaryIO, answering: BinaryIO) -> bool:
        """One command. False if the connection is reset."""
        command = _frame(asking)
        name = command.split(b"\r\n", 3)[2].decode().upper()
        self.seen[name] += 1
        waiting = self.faults.get(name)
        fault = waiting.pop(0) if waiting else None
        if isinstance(fault, bytes):
            client.sendall(fault)
            return True
        if fault == "before":
            return False
        if fault == "half":
            server.sendall(command[: len(command) // 2])
            return False
        server.sendall(command)
        answer = _frame(answering)
        if fault == "after":
            return False
        client.sendall(answer)
        return True


@contextmanager
def wire_to(server: str) -> Iterator[Wire]:
    wire = Wire(server)
    try:
        yield wire
    finally:
        wire.close()


def _frame(source: BinaryIO) -> bytes:
    """One command or answer, as it is. Raises: EOFError."""
    head = source.readline()
    if not head:
        raise EOFError
    if head[:1] == b"$" and int(head[1:]) >= 0:
        return head + source.read(int(head[1:]) + 2)
    if head[:1] == b"*":
        return head + b"".join(_frame(source) for _ in range(int(head[1:])))
    return head
