"""The objects of a bucket under one prefix: written once, read whole, and a pointer changed by compare-and-swap."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

import google_crc32c
import msgspec
from google.api_core.exceptions import NotFound, PreconditionFailed
from google.api_core.retry import Retry
from google.cloud.storage import Blob, Client
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY

from omakase.adapters.gcp.credentials import credentials_for
from omakase.adapters.gcp.errors import cloud_errors
from omakase.adapters.uri import Uri
from omakase.core.errors import Conflict, Corrupt, InvalidInput, Unavailable

log = logging.getLogger(__name__)

# With jitter, all of it. GCS takes about one write a second of one name, and answers 429 to what is more.
RETRY = DEFAULT_RETRY.with_delay(initial=0.3, maximum=5.0, multiplier=2.0).with_timeout(30.0)
# What is asked for twice a second is rather asked for again.
_POLL_S = 5.0
_ANSWER_S = (3.05, 20.0)  # to connect, and between two bytes
_ORPHANED = timedelta(days=1)
_GENERATION = "generation"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")


class Stored(msgspec.Struct, frozen=True):
    """An object that was written whole: what a reader needs to know that it has it so. Units: size in bytes."""

    name: str
    crc32c: str
    size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What a pointer holds; `version` is that of GCS, 0 where there is none."""

    content: bytes
    version: int


_NOTHING = Seen(b"", 0)


def place_of(uri: Uri, *known_options: str) -> tuple[str, str]:
    """Bucket and prefix, which ends in a slash or is empty. Raises: InvalidInput."""
    uri.only(*known_options)
    bucket, _, prefix = uri.location.removeprefix("//").partition("/")
    if not uri.location.startswith("//") or not _BUCKET.fullmatch(bucket):
        raise InvalidInput(f"{uri.text!r}: write gs://BUCKET/PREFIX")
    prefix = prefix.strip("/")
    return bucket, f"{prefix}/" if prefix else ""


def new_client(project: str | None = None) -> Client:
    """One that asks for nothing of its own accord."""
    client = Client(project=project, credentials=credentials_for("STORAGE_EMULATOR_HOST"))
    # Else every poll of what is not there yet has it ask in a thread for the bucket, which it may not even see.
    client._bucket_metadata_cache = None
    return client


def fresh_token() -> str:
    """Part of a name that nobody else can take."""
    return secrets.token_hex(8)


def holding(token: str) -> Callable[[bytes], bool]:
    """Of contents that hold a token which whoever writes later keeps."""
    return lambda content: token.encode() in content


class Objects:
    """Names are relative to the prefix. Raises, all of it: Unavailable, after the client has retried with jitter."""

    def __init__(self, client: Client, bucket: str, prefix: str, retry: Retry = RETRY) -> None:
        self.place = f"gs://{bucket}/{prefix}"
        self._client = client
        self._bucket = client.bucket(bucket)
        self._prefix = prefix
        self._retry = retry
        self._poll = retry.with_timeout(min(_POLL_S, retry.timeout or _POLL_S))
        self._is_there = False  # the bucket

    @classmethod
    def from_uri(cls, uri: Uri, *known_options: str) -> Objects:
        """Raises: InvalidInput; nothing is asked of the bucket."""
        bucket, prefix = place_of(uri, *known_options)
        with cloud_errors(f"use {uri.text}"):
            return cls(new_client(), bucket, prefix)

    def create(self, name: str, content: bytes) -> Stored:
        """`name` has a fresh token. Guarantees: whole or not there; checked on its way. Cost: one request."""
        try:
            self._upload(self._blob(name), content, if_version=0)
        except PreconditionFailed:  # nobody else takes that name: an earlier try of ours has come through
            pass
        except Unavailable:
            if self._tagged(name) is None:
                raise
        return Stored(name, crc32c_of(content), len(content))

    def fetch(self, stored: Stored) -> bytes | None:
        """None if it is there no longer: who read of it in a pointer reads the pointer again.

        Raises: Corrupt if it is not what was written. Cost: one request.
        """
        content = self._download(self._blob(stored.name))
        # The client checks no checksum where it had to resume.
        if content is not None and crc32c_of(content) != stored.crc32c:
            raise Corrupt(f"{self.place}{stored.name} is not what was written: its checksum differs")
        return content

    def look(self, name: str) -> Seen:
        """What a pointer holds now. Raises: Corrupt besides. Cost: one request."""
        blob = self._blob(name)
        content = self._download(blob)
        return _NOTHING if content is None else Seen(content, int(blob.generation))

    def generation(self, name: str) -> int:
        """That of a pointer, as `swap` was given it; 0 where there is none. Cost: one small request."""
        blob = self._tagged(name)
        if blob is None:
            return 0
        text = (blob.metadata or {}).get(_GENERATION, "")
        if not text.isdecimal():
            raise Corrupt(f"{self.place}{name} has the metadata {_GENERATION}={text[:40]!r}, which is no generation")
        return int(text)

    def version(self, name: str) -> int:
        """That of GCS, whoever wrote it; 0 where there is none. Cost: one small request."""
        blob = self._tagged(name)
        return 0 if blob is None else int(blob.generation)

    def swap(
        self,
        name: str,
        content: bytes,
        *,
        if_version: int,
        is_ours: Callable[[bytes], bool],
        generation: int | None = None,
    ) -> None:
        """Change a pointer if it is still of that version.

        `is_ours` says of what is there later whether it was made of `content`: so an answer that was lost is found out.
        Raises: Conflict if it was not changed and no longer can be; Unavailable if it may still be. Cost: one request.
        """
        blob = self._blob(name)
        if generation is not None:
            blob.metadata = {_GENERATION: str(generation)}
        try:
            self._upload(blob, content, if_version=if_version)
            return
        except PreconditionFailed as error:
            cause: Exception = error  # perhaps an earlier try of ours came through
        except Unavailable as error:
            cause = error
        seen = self.look(name)
        if seen.version and is_ours(seen.content):
            return
        if isinstance(cause, Unavailable) and seen.version == if_version:
            raise cause
        raise Conflict(f"{self.place}{name}: somebody else wrote first") from cause

    def names(self, prefix: str) -> list[str]:
        """Those that begin with `prefix`, sorted. Cost: one request a thousand."""
        return [blob.name.removeprefix(self._prefix) for blob in self._listed(prefix)]

    def drop(self, names: Iterable[str]) -> None:
        """Never raises: what stays is an orphan, which `sweep` finds. Cost: one request each."""
        for name in names:
            try:
                with cloud_errors(f"delete {self.place}{name}"):
                    self._blob(name).delete(timeout=_ANSWER_S, retry=self._poll)
            except Unavailable as error:
                if not isinstance(error.__cause__, NotFound):
                    log.warning("%s is left behind: %s", name, error)

    def sweep(self, prefix: str, kept: Collection[str], pointer: str) -> None:
        """Drop what begins with `prefix`, is none of `kept`, and was written a day before the pointer or earlier:
        what killed writers left. Never raises."""
        try:
            with cloud_errors(f"look at {self.place}{pointer}"):
                now = self._bucket.get_blob(self._prefix + pointer, timeout=_ANSWER_S, retry=self._retry)
            found = self._listed(prefix)
        except Unavailable as error:
            log.warning("nothing is swept now: %s", error)
            return
        if now is None:
            return
        old = (blob for blob in found if blob.time_created < now.updated - _ORPHANED)
        self.drop({blob.name.removeprefix(self._prefix) for blob in old} - set(kept))

    def _tagged(self, name: str) -> Blob | None:
        with cloud_errors(f"look at {self.place}{name}"):
            blob = self._bucket.get_blob(self._prefix + name, timeout=_POLL_S, retry=self._poll)
        if blob is None:
            self._must_exist()
        return blob

    def _blob(self, name: str) -> Blob:
        return self._bucket.blob(self._prefix + name)

    def _upload(self, blob: Blob, content: bytes, if_version: int) -> None:
        with cloud_errors(f"write {self.place}{blob.name.removeprefix(self._prefix)}"):
            try:
                blob.upload_from_string(
                    content,
                    "application/octet-stream",
                    if_generation_match=if_version,
                    checksum="crc32c",
                    timeout=_ANSWER_S,
                    retry=self._retry,
                )
                return
            except PreconditionFailed as error:
                failed = error
        raise failed

    def _listed(self, prefix: str) -> list[Blob]:
        with cloud_errors(f"list {self.place}{prefix}"):
            return list(
                self._client.list_blobs(
                    self._bucket, prefix=self._prefix + prefix, timeout=_ANSWER_S, retry=self._retry
                )
            )

    def _download(self, blob: Blob) -> bytes | None:
        with cloud_errors(f"read gs://{self._bucket.name}/{blob.name}"):
            try:
                return bytes(blob.download_as_bytes(checksum="crc32c", timeout=_ANSWER_S, retry=self._retry))
            except DataCorruption as error:
                raise Corrupt(f"{blob.name} is not what was written: its checksum differs") from error
            except NotFound:
                pass
        self._must_exist()
        return None

    def _must_exist(self) -> None:
        """Raises: Unavailable: a bucket that is not there is no empty bucket."""
        if not self._is_there:
            with cloud_errors(f"read {self.place}"):
                next(
                    iter(self._client.list_blobs(self._bucket, max_results=1, timeout=_POLL_S, retry=self._poll)), None
                )
            self._is_there = True


def crc32c_of(content: bytes) -> str:
    return f"{google_crc32c.value(content):08x}"
