"""The catalogue in a bucket.

    manifest              names the runs of changes that the newest generation is made of; changed by compare-and-swap
    parts/TOKEN-0         a part of a run, see `catalogue_runs`; never changed once it is there

So that to hide one item of a million writes and reads kilobytes. What nothing names any more is removed a day later.
"""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TypeVar

import numpy as np
from google.api_core.retry import exponential_sleep_generator
from numpy.typing import NDArray

from omakase.adapters.gcp.pubsub.announcements import Announcements
from omakase.adapters.gcp.storage.catalogue_manifest import Dated, Manifest, Run, decode_manifest, encode_manifest
from omakase.adapters.gcp.storage.catalogue_news import CatalogueNews
from omakase.adapters.gcp.storage.catalogue_runs import PART_BYTES, PARTS, Retired, Runs, item_of, row_of
from omakase.adapters.gcp.storage.objects import Objects, fresh_token, holding
from omakase.adapters.uri import Uri
from omakase.core.catalogue import Catalogue, Item
from omakase.core.errors import Conflict, Corrupt, OmakaseError, Unavailable
from omakase.core.item_ids import UNKNOWN, ItemIds

log = logging.getLogger(__name__)

_MANIFEST = "manifest"
_PATIENCE_S = 60.0  # while others write all the time
_AMENDED = 10_000  # rows; what is more costs less when everything is read
_T = TypeVar("_T")


class GcsCatalogueStore:
    """CatalogueStore. Keeps the catalogue that it loaded last, which its caller serves from as well.

    A change is read by whoever follows the generation within a second, and sooner where it is announced. GCS takes
    about one change a second; each may be of any number of items.
    """

    def __init__(
        self, objects: Objects, announcements: Announcements | None = None, part_bytes: int = PART_BYTES
    ) -> None:
        self._objects = objects
        self._runs = Runs(objects, part_bytes)
        self._news = announcements and CatalogueNews(objects.place, self._poll, announcements)
        self._known: Catalogue | None = None
        self._sorted: tuple[ItemIds, NDArray[np.intp]] | None = None
        self._writing = threading.Lock()  # this process's own writers need no conflicts to take turns

    @classmethod
    def from_uri(cls, uri: Uri) -> GcsCatalogueStore:
        """`gs://BUCKET/PREFIX[?announcements=PROJECT/TOPIC]`."""
        topic = uri.options.get("announcements")
        return cls(Objects.from_uri(uri, "announcements"), Announcements(topic) if topic else None)

    def generation(self) -> int:
        """See CatalogueStore. Cost: one small request; where changes are announced, one a second. Raises: Corrupt."""
        return self._news.generation() if self._news else self._poll()

    def load(self, since: Catalogue | None = None) -> Catalogue:
        """See CatalogueStore. Reads everything where an item was removed since. Raises: Corrupt besides.

        Cost: one request, and one for each change since, or for each 4 MB of items.
        """
        return self._retried(lambda: self._load(self._look().manifest, since))

    def put(self, items: Iterable[Item]) -> int:
        """See CatalogueStore. No items make no generation. Keeps the ids while it takes the items.

        Cost: three requests; one more for each 4 MB of items. Raises: Unavailable; InvalidFeature; Corrupt.
        """
        token = fresh_token()
        runs = self._runs.write(token, (), map(row_of, items))
        if not runs:
            return self._look().manifest.generation
        with self._writing:
            return self._retried(lambda: self._append(self._look(), runs, token))

    def update(self, item_ids: Collection[str], change: Callable[[Item], Item]) -> list[Item]:
        """See CatalogueStore. `change` is called again where somebody else wrote meanwhile.

        Cost: that of `load`, since what this store has loaded last, and three requests. Raises: as `put`.
        """
        with self._writing:
            return self._retried(lambda: self._update(list(dict.fromkeys(item_ids)), change))

    def page(self, first: str, limit: int) -> list[Item]:
        """See CatalogueStore. Cost: as `update`; the first time, a second or two to sort a million ids."""
        catalogue, _ = self._retried(self._catch_up)
        ids = catalogue.item_ids
        self._sorted = order = _sorted(ids, self._sorted)
        start = bisect_left(order[1], first, key=ids.__getitem__)
        return [catalogue.item(i) for i in order[1][start : start + limit].tolist()]

    def remove(self, item_ids: Iterable[str]) -> int:
        """See CatalogueStore. Where nothing was dropped the generation stays. Cost, Raises: as `update`."""
        named = list(dict.fromkeys(item_ids))
        with self._writing:
            return self._retried(lambda: self._remove(named))

    def _update(self, item_ids: list[str], change: Callable[[Item], Item]) -> list[Item]:
        catalogue, dated = self._catch_up()
        items = [change(catalogue.item(i)) for i in catalogue.places(item_ids).tolist() if i != UNKNOWN]
        if items:
            token = fresh_token()
            self._append_or_drop(dated, self._runs.write(token, (), map(row_of, items)), token)
        return items

    def _remove(self, item_ids: list[str]) -> int:
        catalogue, dated = self._catch_up()
        places = catalogue.places(item_ids).tolist()
        there = [item_id for item_id, place in zip(item_ids, places, strict=True) if place != UNKNOWN]
        if not there:
            return dated.manifest.generation
        token = fresh_token()
        return self._append_or_drop(dated, self._runs.write(token, there, ()), token)

    def _append_or_drop(self, dated: Dated, runs: Sequence[Run], token: str) -> int:
        try:
            return self._append(dated, runs, token)
        except Conflict:
            self._runs.drop(runs)
            raise

    def _append(self, dated: Dated, runs: Sequence[Run], token: str) -> int:
        after = dated.manifest.followed_by(runs, token)
        self._swap(after, token, dated.version)
        if self._news:
            self._news.tell(after.generation)
        self._merge(after)
        return after.generation

    def _swap(self, manifest: Manifest, token: str, if_version: int) -> None:
        content, ours = encode_manifest(manifest), holding(token)
        self._objects.swap(_MANIFEST, content, if_version=if_version, is_ours=ours, generation=manifest.generation)

    def _merge(self, manifest: Manifest) -> None:
        """Make few runs of many. Never raises: the next writer tries again."""
        runs = manifest.due()
        if not runs:
            return
        try:
            # Before it retires parts of its own: readers that are under way still have those of their manifest.
            self._objects.sweep(PARTS, manifest.parts(), _MANIFEST)
            removed, rows = self._runs.merged(runs)
            token = fresh_token()
            into = self._runs.write(token, removed if runs[0] != manifest.runs[0] else (), rows)
            into = [Run(runs[-1].until, run.rows, run.removed, run.parts) for run in into]
            self._retried(lambda: self._replace(runs, into, token))
        except (OmakaseError, Retired) as error:
            log.warning("the catalogue's changes stay unmerged for now: %s", error)

    def _replace(self, runs: tuple[Run, ...], into: Sequence[Run], token: str) -> None:
        dated = self._look()
        after = dated.manifest.merged(runs, into, token)
        if after is None:  # another writer was faster
            self._runs.drop(into)
        else:
            self._swap(after, token, dated.version)

    def _catch_up(self) -> tuple[Catalogue, Dated]:
        dated = self._look()
        return self._load(dated.manifest, self._known), dated

    def _load(self, manifest: Manifest, since: Catalogue | None) -> Catalogue:
        catalogue = self._known = self._made(manifest, since)
        if self._news:
            self._news.learn(catalogue.generation)
        return catalogue

    def _made(self, manifest: Manifest, since: Catalogue | None) -> Catalogue:
        if since is not None and since.generation == manifest.generation:
            return since
        if since is not None and not manifest.generation:
            was = f"it was at generation {since.generation}"
            raise Corrupt(f"{self._objects.place}{_MANIFEST} is gone, {was}: restore it, or put all items again")
        if since is not None and manifest.removed <= since.generation < manifest.generation:
            runs = manifest.since(since.generation)
            if sum(run.rows for run in runs) <= max(_AMENDED, len(since) // 8):
                lines = (line for run in runs for line in self._runs.rows(run))
                return since.amended(map(item_of, lines), manifest.generation)
        known = self._known
        if since is not None and known is not None and known.generation == manifest.generation:
            return known
        if not manifest.runs:
            return Catalogue((), manifest.generation)
        _, rows = self._runs.merged(manifest.runs)
        return Catalogue((item_of(line) for _, line in rows), manifest.generation)

    def _poll(self) -> int:
        return self._objects.generation(_MANIFEST)

    def _look(self) -> Dated:
        seen = self._objects.look(_MANIFEST)
        manifest = decode_manifest(seen.content, self._objects.place) if seen.version else Manifest()
        return Dated(manifest, seen.version)

    def _retried(self, attempt: Callable[[], _T]) -> _T:
        """Again, with jitter, while others write. Raises: Unavailable."""
        give_up, waits = time.monotonic() + _PATIENCE_S, exponential_sleep_generator(0.02, 2.0)
        while True:
            try:
                return attempt()
            except (Conflict, Retired) as error:
                if time.monotonic() > give_up:
                    raise Unavailable(f"{self._objects.place} changes faster than it can be followed") from error
            time.sleep(next(waits))


def _sorted(ids: ItemIds, before: tuple[ItemIds, NDArray[np.intp]] | None) -> tuple[ItemIds, NDArray[np.intp]]:
    """The places of ids in the order of their texts. Cost: little where few are new."""
    if before is not None and before[0] is ids:
        return before
    order = before[1] if before is not None and ids.continues(before[0]) else np.empty(0, dtype=np.intp)
    new = sorted(range(len(order), len(ids)), key=ids.__getitem__)
    at = [bisect_left(order, ids[i], key=ids.__getitem__) for i in new]
    return ids, np.insert(order, at, new)
