"""The live view: what a newcomer should understand at a glance, in 80 columns and 24 lines."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol, Self

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from omakase.core.accounting import Account, Side
from omakase.core.evaluation import Estimate
from omakase.demo.frame import Frame
from omakase.demo.market import ITEMS
from omakase.demo.product import CONTROL, SLOTS, TREATMENT
from omakase.demo.scoreboard import Score

_BAR_WIDTH = 22
_PLAIN_EVERY_S = 10.0


class View(Protocol):
    """Where frames go. Used as a context; `show` may be called as often as there is something new."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, frame: Frame) -> None: ...


class LiveView:
    """Redraws one panel in place."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, frame: Frame) -> None:
        self._live.update(render(frame), refresh=True)


class PlainView:
    """Prints a line about every ten seconds, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._next_s = 0.0
        self._phase = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, frame: Frame) -> None:
        if frame.progress.elapsed_s >= self._next_s or frame.phase != self._phase:
            self._next_s = frame.progress.elapsed_s + _PLAIN_EVERY_S
            self._phase = frame.phase
            self._console.print(plain_line(frame), soft_wrap=True, highlight=False, markup=False)


class NoView:
    """Shows nothing: for scripts that want the summary alone."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, frame: Frame) -> None:
        pass


def view_for(console: Console) -> View:
    """The live view on a terminal, lines elsewhere."""
    return LiveView(console) if console.is_terminal else PlainView(console)


def render(frame: Frame) -> RenderableType:
    """The whole view."""
    title = f"Omakase demo · seed {frame.seed} · {ITEMS} items, {SLOTS} slots"
    return Panel(
        Group(
            Text("Half of the shoppers get random slates, half the ones the model prefers.", style="dim"),
            Text(headline(frame), style="bold"),
            Text(),
            _variants(frame),
            Text(),
            _facts(frame),
        ),
        title=title,
        subtitle=_remaining(frame),
        box=box.ROUNDED,
    )


def headline(frame: Frame) -> str:
    """What is going on, in one sentence."""
    lift = frame.lift
    if not frame.models_seen or lift is None:
        return "Warming up: the first clicks are on their way to the first model."
    ratio = f"{lift.value + 1:.1f}"
    if frame.is_apart:
        return f"What was learnt is clicked {ratio} times as often as chance, and it is not luck."
    if lift.value > 0.05:
        return f"Learnt slates are clicked {ratio} times as often, but that could still be luck."
    return "No difference yet: the model is still trying things out."


def plain_line(frame: Frame) -> str:
    """The view in one line."""
    progress = frame.progress
    parts = [
        f"{progress.elapsed_s:4.0f} s {frame.phase}",
        f"{CONTROL} {interval(frame.control.ctr)}",
        f"{TREATMENT} {interval(frame.treatment.ctr)}",
        f"model {frame.model_version or 'none yet'}",
        f"{progress.rate:.0f} requests/s",
        f"p99 {progress.latency_p99_ms:.0f} ms",
    ]
    parts.append(f"events {frame.account.accepted:,} accepted, {frame.account.events.open:,} open")
    return " | ".join(parts)


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def interval(rate: Estimate) -> str:
    return f"{percent(rate.value)} [{100 * rate.low:.2f}, {100 * rate.high:.2f}]" if rate.n else "no data yet"


def lift_text(lift: Estimate | None) -> str:
    """A lift with its interval, in words where there is none."""
    if lift is None:
        return "unknown until both variants have clicks"
    high = f"{100 * lift.high:+.0f}" if lift.high < 100 else "∞"
    return f"{100 * lift.value:+.0f} % [{100 * lift.low:+.0f}, {high}]"


def account_lines(account: Account) -> tuple[str, str]:
    """Where every delivery and every event went."""
    return (
        f"{account.recorded:,} deliveries = {_ends(account.deliveries)}",
        f"{account.accepted:,} events = {_ends(account.events)}"
        + (f" + {account.parked:,} early" if account.parked else ""),
    )


def bar(rate: Estimate, scale: float, width: int = _BAR_WIDTH) -> str:
    """An interval drawn to scale: ├──●──┤ between 0 and `scale`."""
    if not rate.n:
        return " " * width

    def column(share: float) -> int:
        return min(width - 1, max(0, round(share / scale * (width - 1))))

    cells = [" "] * width
    low, high = column(rate.low), column(rate.high)
    cells[low : high + 1] = "─" * (high - low + 1)
    cells[low], cells[high] = "├", "┤"
    cells[column(rate.value)] = "●"
    return "".join(cells)


def _variants(frame: Frame) -> Table:
    scale = 1.1 * frame.best_ctr
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for name, width in (("variant", 8), ("CTR", 6), ("95 %", 9)):
        table.add_column(name, no_wrap=True, min_width=width)
    table.add_column(f"0{f'{100 * scale:.0f} %':>{_BAR_WIDTH - 1}}", no_wrap=True)
    table.add_column("people", justify="right", no_wrap=True)
    table.add_column("clicks", justify="right", no_wrap=True)
    _add_score(table, CONTROL, frame.control, scale, "yellow")
    _add_score(table, TREATMENT, frame.treatment, scale, "green")
    mark = " " * round(frame.best_ctr / scale * (_BAR_WIDTH - 1)) + "▲"
    table.add_row("possible", percent(frame.best_ctr), "hidden", mark, "", "", style="dim")
    return table


def _add_score(table: Table, variant: str, score: Score, scale: float, colour: str) -> None:
    rate = score.ctr
    bounds = f"{100 * rate.low:.2f}–{100 * rate.high:.2f}" if rate.n else ""
    value = percent(rate.value) if rate.n else "…"
    cells = (value, bounds, Text(bar(rate, scale), style=colour), f"{score.people:,}", f"{score.clicks:,}")
    table.add_row(Text(variant, style=colour), *cells)


def _facts(frame: Frame) -> Table:
    progress = frame.progress
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column()
    reached = f" · {100 * frame.gain_reached:.0f} % of the possible gain" if frame.lift else ""
    facts.add_row("lift", lift_text(frame.lift) + reached)
    facts.add_row("model", f"{frame.model_version or 'none yet'} · {frame.models_seen} generations seen")
    facts.add_row("click → model", _freshness(frame))
    facts.add_row(
        "traffic",
        f"{progress.rate:.0f} requests/s · p50 {progress.latency_p50_ms:.0f} ms, p99 {progress.latency_p99_ms:.0f} ms"
        f" · {progress.fallbacks} fallbacks, {progress.errors} errors",
    )
    deliveries, events = account_lines(frame.account)
    facts.add_row("account", deliveries)
    facts.add_row("", events)
    return facts


def _freshness(frame: Frame) -> str:
    if frame.freshness is None:
        return "waiting for the first learnt click"
    return f"p50 {frame.freshness.p50_s:.1f} s, p95 {frame.freshness.p95_s:.1f} s until an answer knows it"


def _ends(side: Side) -> str:
    ended = [f"{count:,} {name.replace('_', ' ')}" for name, count in side.ends.items() if count]
    return " + ".join([*ended, f"{side.open:,} open"])


def _remaining(frame: Frame) -> str:
    if frame.phase == "shopping":
        return f"{int(frame.left_s) // 60}:{int(frame.left_s) % 60:02d} left · Ctrl-C ends early"
    return {"starting": "starting", "draining": "learning what is still on its way", "done": "done"}[frame.phase]
