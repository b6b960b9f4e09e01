"""A text as an object in a bucket, written by us or by any tool."""

from __future__ import annotations

from omakase.adapters.gcp.storage.objects import Objects
from omakase.adapters.uri import Uri
from omakase.core.errors import InvalidInput, Unavailable


class GcsSharedText:
    """SharedText. The text before is kept beside it as `<name>.previous`."""

    def __init__(self, objects: Objects, name: str) -> None:
        self._objects = objects
        self._name = name

    @classmethod
    def from_uri(cls, uri: Uri) -> GcsSharedText:
        """`gs://BUCKET/PATH`, such as `gs://shop/configuration/omakase.yaml`."""
        folder, _, name = uri.location.rpartition("/")
        if not folder.startswith("//") or not name:
            raise InvalidInput(f"{uri.text!r}: write gs://BUCKET/PATH, the name of an object")
        return cls(Objects.from_uri(Uri(uri.text, uri.scheme, folder, uri.options)), name)

    @property
    def name(self) -> str:
        return self._name

    def version(self) -> int:
        """See SharedText. Cost: one small request."""
        return self._objects.version(self._name)

    def read(self) -> tuple[bytes, int]:
        """See SharedText. Cost: one request."""
        seen = self._objects.look(self._name)
        if not seen.version:
            raise Unavailable(f"{self._objects.place}{self._name} is not there: put the configuration there")
        return seen.content, seen.version

    def replace(self, text: bytes, if_version: int) -> None:
        """See SharedText. Cost: four requests."""
        current, version = self.read()
        if version == if_version:
            before = f"{self._name}.previous"
            self._swap(before, current, self._objects.look(before).version)
        self._swap(self._name, text, if_version)

    def _swap(self, name: str, text: bytes, if_version: int) -> None:
        # If what is there after an answer that was lost is our text, then all is well, whoever has put it there.
        self._objects.swap(name, text, if_version=if_version, is_ours=text.__eq__)
