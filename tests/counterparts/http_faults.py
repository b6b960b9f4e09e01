"""Faults of the cloud, where Google's HTTP clients meet the network: a script says which request goes wrong, and how.

faults = HttpFaults(Fault(status=503), Fault(method="POST", status=412, is_done=True))
faults.on(client)  # of Cloud Storage or BigQuery
…
assert not faults.left
"""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

_LOOKED_AT = 2000


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one request: the first one of `method` ("" any) whose URL, unquoted, or the beginning of whose
    body holds `about`, such as an object's name.

    With a `status` that is the answer, with `body`; without one the connection breaks, or, if `is_late`, times out.
    `is_done`: the server does it all the same. `cut_at` lets so many bytes of the answer through, `is_garbled` all,
    the first one another, `is_none` all as they are. `meanwhile` is called before the answer comes, and, unless the
    server did it all the same, before the request goes.
    """

    status: int | None = None
    method: str = ""
    about: str = ""
    is_done: bool = False
    is_late: bool = False
    cut_at: int | None = None
    is_garbled: bool = False
    is_none: bool = False
    meanwhile: Callable[[], object] = lambda: None
    body: bytes = b'{"error": {"message": "injected"}}'

    def meets(self, method: str, url: str, body: Any) -> bool:
        beginning = body[:_LOOKED_AT] if isinstance(body, bytes) else str(body or "")[:_LOOKED_AT].encode()
        return self.method in ("", method) and (self.about in url or self.about.encode() in beginning)


class HttpFaults(HTTPAdapter):
    """Each fault happens once, and in the order given among those that a request meets; then all is well.

    `left` are the faults to come; `seen` what was asked for, as `METHOD URL`.
    """

    def __init__(self, *faults: Fault) -> None:
        super().__init__()
        self.left = list(faults)
        self.seen: list[str] = []
        self._lock = threading.Lock()

    def on(self, client: Any) -> HttpFaults:
        """Stand between one of Google's clients and its server."""
        client._http.mount("http://", self)
        return self

    def send(self, request: requests.PreparedRequest, *rest: Any, **options: Any) -> requests.Response:
        method, url = request.method or "", unquote(request.url or "")
        with self._lock:
            self.seen.append(f"{method} {url}")
            fault = next((fault for fault in self.left if fault.meets(method, url, request.body)), None)
            if fault is not None:
                self.left.remove(fault)
        if fault is None:
            return super().send(request, *rest, **options)
        if fault.is_done:
            super().send(request, *rest, **options).close()
        fault.meanwhile()
        if fault.is_none:
            return super().send(request, *rest, **options)
        if fault.cut_at is not None or fault.is_garbled:
            return _spoilt(super().send(request, *rest, **options), fault)
        if fault.status is not None:
            return _answer(request, fault.status, fault.body)
        if fault.is_late:
            raise requests.ReadTimeout("no answer in time", request=request)
        raise requests.ConnectionError("connection reset by peer", request=request)


def _answer(request: requests.PreparedRequest, status: int, body: bytes) -> requests.Response:
    answer = requests.Response()
    answer.status_code, answer.url, answer.request = status, request.url or "", request
    answer.headers["Content-Type"] = "application/json"
    answer.raw = HTTPResponse(io.BytesIO(body), preload_content=False)
    return answer


def _spoilt(answer: requests.Response, fault: Fault) -> requests.Response:
    content = answer.raw.read(decode_content=False)
    if fault.is_garbled:
        content = bytes([content[0] ^ 1]) + content[1:]
    # The announced length stays, so that a cut is found out as on a real connection.
    answer.raw = HTTPResponse(
        io.BytesIO(content[: fault.cut_at]), answer.headers, answer.status_code, preload_content=False
    )
    return answer
