"""A model that has learnt from an old log before the first request.

A log is either one JSON object a line, or the CSV of the Open Bandit Dataset that `omakase replay` reads. Only what was
seen belongs in it: what nobody saw nobody disliked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import sha256
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from omakase import models
from omakase.config.placements import Placement
from omakase.config.schema import Product
from omakase.configured import ConfiguredModel
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidInput
from omakase.core.events import CLICK, IMPRESSION, ONCE_ONLY
from omakase.core.features import DERIVED, Factor
from omakase.core.refolding import ExampleColumns
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Seen
from omakase.core.training import OUTCOMES
from omakase.core.values import Facts, facts_of
from omakase.models import WARM_START, Published
from omakase.ports.model_store import ModelStore
from omakase.repairs.history import CHUNK, Refolded
from omakase.replay.log import read_log
from omakase.replay.table import Faults

KEYS = ("context", "item_id", "metadata", "clicked", "reward", "weight", "at")
_LATEST = 4.1e9  # the year 2099: a time in milliseconds is a slip
_MAX_WEIGHT = 1e6


@dataclass(frozen=True, slots=True)
class Shown:
    """One row of a log, encoded."""

    context: Factor
    item: Factor
    click: float
    reward: float
    weight: float
    at: float
    item_id: str = ""


class LogReader:
    """Rows to examples, as the configured model would have seen them.

    `hour` and `weekday` come from the row's time where its context does not say, and the reward from the click where
    the row does not: both by the placements that use the model, as long as they agree.
    """

    def __init__(self, product: Product, model: ConfiguredModel, items: Mapping[str, Item]) -> None:
        using = [
            placement
            for name, placement in product.placements.items()
            if any(arm.model == model.name for arm in product.arms_at(name).values())
        ]
        self._model = model
        self._items = items
        self._zone = _agreed_zone(using)
        self._rewards = _agreed_rewards(using)
        self._derives = any(feature.name in DERIVED for feature in model.spec.context)

    def lines(self, path: Path) -> Iterator[Shown]:
        """Of a file with one JSON object a line. Raises: InvalidInput naming the lines at fault, at most twenty."""
        faults = Faults(path)
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                try:
                    yield self._shown(_parsed(line))
                except InvalidInput as error:
                    faults.add(number, str(error))
        faults.raise_if_any()

    def rows(self, path: Path) -> Iterator[Shown]:
        """Of a file in the format of the Open Bandit Dataset. Raises: InvalidInput."""
        item_ids = list(self._items)
        log = read_log(path, item_ids)
        for row in range(len(log)):
            entry = {"item_id": item_ids[log.item[row]], "clicked": int(log.click[row]), "at": float(log.at[row])}
            try:
                yield self._shown({**entry, "context": log.context(row)})
            except InvalidInput as error:
                at = datetime.fromtimestamp(entry["at"], UTC)
                raise InvalidInput(
                    f"{path}, item {entry['item_id']} shown at {at:%Y-%m-%d %H:%M:%S}: {error}"
                ) from None

    def _shown(self, entry: Mapping[str, object]) -> Shown:
        unknown = entry.keys() - set(KEYS)
        if unknown:
            raise InvalidInput(f"unknown keys {sorted(unknown)}; known: {', '.join(KEYS)}")
        at, clicked = _time(entry.get("at")), entry.get("clicked")
        if clicked not in (0, 1):
            raise InvalidInput(f"`clicked` must be 0 or 1, not {clicked!r}")
        click = float(clicked)
        reward = self._reward(click) if entry.get("reward") is None else _number(entry, "reward", -_MAX_WEIGHT)
        weight = 1.0 if entry.get("weight") is None else _number(entry, "weight", 0.0)
        spec = self._model.spec
        item = spec.encode_item(self._metadata(entry))
        context = spec.encode_context(self._context(entry, at))
        return Shown(context, item, click, reward, weight, at, self._item_id(entry))

    def _context(self, entry: Mapping[str, object], at: float) -> Facts:
        given = _facts(entry, "context")
        if not self._derives or given.keys() >= DERIVED:
            return given
        if self._zone is None:
            raise InvalidInput(
                "the placements of this model have several time zones: put hour and weekday into context"
            )
        local = datetime.fromtimestamp(at, self._zone)
        return {"hour": float(local.hour), "weekday": float(local.weekday()), **given}

    def _item_id(self, entry: Mapping[str, object]) -> str:
        item_id = entry.get("item_id", "")
        if not isinstance(item_id, str) or (not item_id and self._model.spec.kind == "per_item"):
            raise InvalidInput("needs the `item_id`, a text: this model learns by item")
        return item_id

    def _metadata(self, entry: Mapping[str, object]) -> Facts:
        if "metadata" in entry:
            return _facts(entry, "metadata")
        item_id = entry.get("item_id")
        if not isinstance(item_id, str):
            raise InvalidInput("needs `metadata`, the item's facts, or the `item_id` of a known item")
        if item_id not in self._items:
            raise InvalidInput(f"item_id {item_id[:80]!r} is not known: import it, or give `metadata`")
        return self._items[item_id].metadata

    def _reward(self, click: float) -> float:
        if self._rewards is None:
            raise InvalidInput("the placements of this model reward differently: say the `reward`")
        seen, clicked = Seen(b"", IMPRESSION, 0.0), Seen(b"", CLICK, 1.0)
        return self._rewards.outcomes([seen, clicked] if click else [seen])["reward"]


def warm_start(store: ModelStore, model: ConfiguredModel, name: str, shown: Iterable[Shown], now: float) -> Published:
    """Add what was shown to a model, once: `name` is the log's, by `log_name`.

    Cost: memory for one chunk. Raises: InvalidInput if the log was added before, is empty or at fault, and then
    nothing is published; Conflict; Corrupt.
    """
    current = models.look(store, model.key)
    if isinstance(current, Published) and name in current.snapshot.sequences:
        raise InvalidInput(f"{model.key} has learnt this log before ({name}): nothing was added")
    found, rest = Refolded(), iter(shown)
    while chunk := list(islice(rest, CHUNK)):
        found.add(_columns(chunk), model.learner)
    if found.sums is None:
        raise InvalidInput("the log has no rows")
    return models.extend(store, model.key, found.sums, {name: (0, found.rows)}, model.learner, now)


def log_name(path: Path) -> str:
    """What a log is remembered by: its content, not its name."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return f"{WARM_START}{digest.hexdigest()[:16]}"


def is_json_lines(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{")


def _columns(shown: list[Shown]) -> ExampleColumns:
    nothing = np.full(len(shown), np.nan)
    return ExampleColumns(
        np.stack([row.context for row in shown]),
        np.stack([row.item for row in shown]),
        np.array([row.weight for row in shown]),
        np.array([row.at for row in shown]),
        {name: np.array([getattr(row, name) for row in shown]) for name in OUTCOMES},
        dict.fromkeys(OUTCOMES, nothing),
        [row.item_id for row in shown],
    )


def _agreed_zone(using: list[Placement]) -> tzinfo | None:
    zones = {placement.time_zone for placement in using} or {"UTC"}
    return ZoneInfo(zones.pop()) if len(zones) == 1 else None


def _agreed_rewards(using: list[Placement]) -> RewardTable | None:
    """What the placements say of impressions and clicks."""
    tables = [
        RewardTable(
            {kind: weight for kind, weight in placement.rewards.items() if kind in ONCE_ONLY},
            combination=placement.combine_rewards,
        )
        for placement in using
    ] or [RewardTable()]
    return tables[0] if all(table == tables[0] for table in tables) else None


def _parsed(line: bytes) -> Mapping[str, object]:
    try:
        entry = json.loads(line.decode("utf-8-sig"))
    except RecursionError:
        raise InvalidInput("is nested too deeply") from None
    except ValueError as error:
        raise InvalidInput(f"is no JSON: {error}") from None
    if not isinstance(entry, dict):
        raise InvalidInput("must be one JSON object")
    return entry


def _facts(entry: Mapping[str, object], name: str) -> Facts:
    given = entry.get(name, {})
    if not isinstance(given, dict):
        raise InvalidInput(f"`{name}` must be an object of facts")
    return facts_of(given)


def _number(entry: Mapping[str, object], name: str, least: float) -> float:
    value = entry[name]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= _MAX_WEIGHT:
        raise InvalidInput(f"`{name}` must be a number from {least:g} to {_MAX_WEIGHT:g}")
    return float(value)


def _time(value: object) -> float:
    at = value
    if isinstance(value, str):
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            parsed = None
        at = parsed.timestamp() if parsed is not None and parsed.tzinfo is not None else None
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 < at < _LATEST:
        raise InvalidInput("`at` must be when it was shown: Unix seconds, or ISO 8601 with an offset")
    return float(at)
