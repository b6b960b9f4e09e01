"""One bounded run of the pipeline, in this process.

Beam's streaming runner for one machine loses data, its bounded one is sound: so the embedded trainer runs the same
transforms over what a tick has read. `FnApiRunner` is named because asking for the direct runner by name may start
another one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from dataflow.transforms import Folded, FoldSlate, SumExamples
from omakase.config.schema import Product
from omakase.configured import Widths, learners_of, widths_of
from omakase.core.ids import RequestId
from omakase.core.learners import Learner
from omakase.core.posterior import Statistics
from omakase.core.rewards import RewardTable
from omakase.core.sessions import Example, SessionRules

FOLDS, SUMS = "folds", "sums"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run gives: each slate's fold, and the sums per model."""

    folds: Mapping[RequestId, Folded]
    statistics: Mapping[str, Statistics]

    @property
    def examples(self) -> Iterator[Example]:
        return (example for fold in self.folds.values() for example in fold.examples)


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The bounded assembly. `widths` holds (m, p) by model: events whose features differ are set aside.

    `learners` says how each model learns; examples of a model that is not configured are summed as a linear one's.
    """

    rules: SessionRules
    rewards: Mapping[str, RewardTable]
    widths: Mapping[str, Widths]
    batch_size: int
    learners: Mapping[str, Learner] = field(default_factory=dict)

    @classmethod
    def of(cls, product: Product) -> Pipeline:
        learning = product.learning
        return cls(
            learning.rules(),
            product.reward_tables(),
            widths_of(product),
            learning.batch_size,
            learners_of(product),
        )

    def run(self, work: Sequence[tuple[bytes, bytes]], now: float, closed_before: float) -> Outcome:
        """Fold `work`, (request id, entry) pairs, as of the watermark `now`; see `fold_slate` for `closed_before`.

        Raises: whatever a step raised; nothing was changed then.
        """
        with _desk(work) as desk:
            with beam.Pipeline(runner=FnApiRunner(), options=_Options([], save_main_session=False)) as pipeline:
                folds = (
                    pipeline
                    | beam.Impulse()
                    | "take" >> beam.ParDo(Take(desk)).with_output_types(tuple[bytes, bytes])
                    | "by slate" >> beam.GroupByKey()
                    | "fold" >> beam.ParDo(FoldSlate(now, closed_before, self.rules, self.rewards, self.widths))
                )
                _ = folds | "name" >> beam.Map(_named) | "keep folds" >> beam.ParDo(Keep(desk, FOLDS))
                _ = (
                    folds
                    | "sum" >> SumExamples(self.batch_size, self.learners)
                    | "keep sums" >> beam.ParDo(Keep(desk, SUMS))
                )
            done = _DESKS[desk].done
            return Outcome(done[FOLDS], done[SUMS])  # type: ignore[arg-type]


class _Options(PipelineOptions):  # type: ignore[misc]
    """Each view is made once: Beam asks for a hundred in a run, and parsing each takes a third of a small one."""

    def view_as(self, cls: type[PipelineOptions]) -> PipelineOptions:
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return views[cls]


@dataclass(slots=True)
class _Desk:
    """Where one run finds its work and leaves what it made: steps are pickled, so they reach it by its number."""

    work: Sequence[tuple[bytes, bytes]]
    done: dict[str, dict[object, object]] = field(default_factory=lambda: {FOLDS: {}, SUMS: {}})


_DESKS: dict[int, _Desk] = {}
_NUMBERS = count()


@contextmanager
def _desk(work: Sequence[tuple[bytes, bytes]]) -> Iterator[int]:
    number = next(_NUMBERS)
    _DESKS[number] = _Desk(work)
    try:
        yield number
    finally:
        del _DESKS[number]


class Take(beam.DoFn):  # type: ignore[misc]
    """The work of a run, element by element: Beam's own source would look at the type of each."""

    def __init__(self, desk: int) -> None:
        self._desk = desk

    def process(self, _: bytes) -> Sequence[tuple[bytes, bytes]]:
        return _DESKS[self._desk].work


class Keep(beam.DoFn):  # type: ignore[misc]
    """Leaves (key, value) on the desk, by key: a bundle that is run again overwrites what it left before."""

    def __init__(self, desk: int, name: str) -> None:
        self._desk = desk
        self._name = name

    def process(self, element: tuple[object, object]) -> None:
        key, value = element
        _DESKS[self._desk].done[self._name][key] = value


def _named(fold: Folded) -> tuple[RequestId, Folded]:
    return fold.request_id, fold
