"""The few methods of Google's REST APIs that say who may do what, over HTTP on this machine.

What they keep is in memory. Of etags, conditions and the older names of roles they are as particular as Google's are.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import requests

from omakase.cloud.rest import ENDPOINTS, Rest

NUMBER = "4242"
_OLDER = {"roles/bigquery.dataViewer": "READER", "roles/bigquery.dataEditor": "WRITER"}


class Refusal(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Google:
    """`asked` are the calls, as `METHOD api/path`. `meddling` runs once, after the next reading of that policy."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.accounts: dict[str, dict[str, Any]] = {}
        self.roles: dict[str, dict[str, Any]] = {}
        self.databases: dict[str, dict[str, Any]] = {}
        self.policies: dict[str, dict[str, Any]] = {}
        self.datasets: dict[str, dict[str, Any]] = {}
        self.meddling: dict[str, Callable[[], None]] = {}
        self.refusals: dict[str, Refusal] = {}
        self.unknown_for = 0  # so many grants to an account fail, as when it has just been made
        self.lock = threading.RLock()

    def grants(self) -> set[tuple[str, str, str, str]]:
        """Thing, role, member and the title of the condition."""
        found = {
            (path, binding["role"], member, binding.get("condition", {}).get("title", ""))
            for path, policy in self.policies.items()
            for binding in policy["bindings"]
            for member in binding["members"]
        }
        return found | {
            (path, entry["role"], entry["userByEmail"], "")
            for path, dataset in self.datasets.items()
            for entry in dataset["access"]
            if "userByEmail" in entry
        }

    def writes(self) -> list[str]:
        return [call for call in self.asked if not call.startswith("GET") and not call.endswith(":getIamPolicy")]

    def answer(self, method: str, api: str, path: str, query: dict[str, str], etag: str | None, body: Any) -> Any:
        self.asked.append(f"{method} {api}/{path}")
        if (refusal := self.refusals.get(path)) is not None:
            raise refusal
        for verb in (":getIamPolicy", ":setIamPolicy"):
            if path.endswith(verb):
                thing = f"{api}/{path.removesuffix(verb)}"
                return self._read(thing) if "get" in verb else self._write(thing, body["policy"], 409)
        if api == "storage":
            thing = f"storage/{path.removesuffix('/iam')}"
            assert method == "PUT" or query["optionsRequestedPolicyVersion"] == "3"
            return self._read(thing) if method == "GET" else self._write(thing, body, 412)
        return getattr(self, f"_{api}")(method, path, query, etag, body)

    def _read(self, thing: str) -> Any:
        if thing not in self.policies:
            self.policies[thing] = {"bindings": [], "etag": "e0"}
        policy = json.loads(json.dumps(self.policies[thing]))
        if meddle := self.meddling.pop(thing, None):
            meddle()
        return policy

    def _write(self, thing: str, policy: Any, raced: int) -> Any:
        members = [member for binding in policy["bindings"] for member in binding["members"]]
        if self.unknown_for and any("gserviceaccount" in member for member in members):
            self.unknown_for -= 1
            raise Refusal(400, "Service account x does not exist.")
        if policy["etag"] != self.policies[thing]["etag"]:
            raise Refusal(raced, "there were concurrent policy changes")
        if any("condition" in binding for binding in policy["bindings"]):
            assert policy["version"] == 3, "conditions need version 3"
        self.policies[thing] = {**policy, "etag": f"e{len(self.asked)}"}
        return policy

    def _iam(self, method: str, path: str, query: dict[str, str], etag: str | None, body: Any) -> Any:
        if path.endswith("/serviceAccounts"):
            project = path.split("/")[1]
            if method == "POST":
                email = f"{body['accountId']}@{project}.iam.gserviceaccount.com"
                assert re.fullmatch(r"[a-z][a-z0-9-]{4,28}[a-z0-9]", body["accountId"]), body
                if email in self.accounts:
                    raise Refusal(409, "exists")
                self.accounts[email] = {"email": email}
                return self.accounts[email]
            page = int(query.get("pageToken") or 0)
            several = list(self.accounts.values())
            more = {"nextPageToken": str(page + 2)} if len(several) > page + 2 else {}
            return {"accounts": several[page : page + 2], **more}
        if path.endswith("/roles"):
            name = f"{path}/{body['roleId']}"
            if name in self.roles:
                raise Refusal(409, "exists")
            self.roles[name] = body["role"]
        if method == "PATCH":
            self.roles[path] |= {field: body[field] for field in query["updateMask"].split(",")}
        return self.roles[name] if path.endswith("/roles") else _there(self.roles, path)

    def _firestore(self, method: str, path: str, query: dict[str, str], etag: str | None, body: Any) -> Any:
        if method == "POST":
            self.databases[f"{path}/{query['databaseId']}"] = body
            return {"name": "an operation"}
        return _there(self.databases, path)

    def _projects(self, method: str, path: str, query: dict[str, str], etag: str | None, body: Any) -> Any:
        return {"projectNumber": NUMBER}

    def _bigquery(self, method: str, path: str, query: dict[str, str], etag: str | None, body: Any) -> Any:
        dataset = self.datasets.setdefault(path, {"access": [{"role": "OWNER", "specialGroup": "x"}], "etag": "e0"})
        if method == "GET":
            answer = json.loads(json.dumps(dataset))
            if meddle := self.meddling.pop(path, None):
                meddle()
            return answer
        if etag != dataset["etag"]:
            raise Refusal(412, "Precondition check failed.")
        access = [{**entry, "role": _OLDER.get(entry["role"], entry["role"])} for entry in body["access"]]
        self.datasets[path] = {"access": access, "etag": f"e{len(self.asked)}"}
        return self.datasets[path]


def _there(known: dict[str, dict[str, Any]], path: str) -> Any:
    if path not in known:
        raise Refusal(404, f"{path} was not found")
    return known[path]


@contextmanager
def serving(google: Google) -> Iterator[Rest]:
    """A client of it, over HTTP."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            url = urlsplit(self.path)
            api, _, path = unquote(url.path).lstrip("/").partition("/")
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            query = {name: values[0] for name, values in parse_qs(url.query).items()}
            with google.lock:
                try:
                    told = google.answer(self.command, api, path, query, self.headers.get("If-Match"), body)
                    status = 200
                except Refusal as refusal:
                    status, told = refusal.status, {"error": {"code": refusal.status, "message": str(refusal)}}
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = _do  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    here = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        with requests.Session() as session:
            yield Rest(session, {api: f"{here}/{api}" for api in ENDPOINTS}, patience_s=2.0)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
