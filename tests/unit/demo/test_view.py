"""What a newcomer sees, on a small terminal and in a log."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from omakase.core.evaluation import Estimate
from omakase.demo.frame import Frame
from omakase.demo.view import LiveView, PlainView, bar, headline, lift_text, plain_line, render, view_for
from tests.unit.demo.frames import learnt, score, starting


def drawn(frame: Frame, width: int = 80) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=24, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(frame))
    return capture.get().splitlines()


@pytest.mark.parametrize("frame", [learnt(), starting()], ids=["learnt", "starting"])
def test_it_fits_80_by_24(frame: Frame) -> None:
    lines = drawn(frame)
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 80
    assert all(line.count("…") in (0, line.count(" …  ")) for line in lines), "a cell was cut"


def test_it_shows_every_number_that_matters() -> None:
    text = " ".join(" ".join(line.strip("│ ") for line in drawn(learnt())).split())
    for fact in (
        "1.48 %", "1.31–1.67", "3.94 %", "3.70–4.19", "5.50 %", "1,998", "+166 %", "@57", "2 generations", "p50 3.1 s",
        "199 requests/s", "p99 32 ms", "12 fallbacks", "72,000 deliveries", "33,480 learnt without click",
        "74,560 events", "2,200 duplicate", "1:12 left", "50 % of the possible gain",
    ):  # fmt: skip
        assert fact in text, fact


def test_the_headline_follows_the_evidence() -> None:
    good = learnt()
    assert "2.7 times" in headline(good)
    assert "not luck" in headline(good)
    overlapping = replace(good, treatment=score(0.0165, 0.0145, 0.0187))
    assert "luck" in headline(overlapping)
    assert "not luck" not in headline(overlapping)
    worse = replace(good, treatment=score(0.0120, 0.0100, 0.0140))
    assert "No difference yet" in headline(worse)
    assert "Warming up" in headline(starting())


def test_a_bar_is_drawn_to_scale() -> None:
    drawn_bar = bar(Estimate(0.5, 0.25, 0.75, 10, 10.0), scale=1.0, width=21)
    assert drawn_bar == "     ├────●────┤     "
    assert bar(Estimate(0.5, 0.25, 9.0, 10, 10.0), scale=1.0, width=21).endswith("┤")
    assert bar(Estimate(0.0, 0.0, 1.0, 0, 0.0), scale=1.0, width=21).isspace()


def test_an_unbounded_lift_is_said_to_be_so() -> None:
    assert "∞" in lift_text(Estimate(2.0, 0.1, float("inf"), 10, 10.0))
    assert "unknown" in lift_text(None)


def test_elsewhere_than_on_a_terminal_it_prints_a_line_about_every_ten_seconds() -> None:
    out = io.StringIO()
    view = view_for(Console(file=out, width=80))
    assert isinstance(view, PlainView)
    with view:
        for second in range(35):
            frame = learnt()
            view.show(replace(frame, progress=replace(frame.progress, elapsed_s=float(second))))
    lines = out.getvalue().splitlines()
    assert len(lines) == 4
    assert lines[-1] == plain_line(replace(learnt(), progress=replace(learnt().progress, elapsed_s=30.0)))


def test_a_change_of_phase_is_told_at_once() -> None:
    out = io.StringIO()
    with PlainView(Console(file=out, width=80)) as view:
        view.show(learnt())
        view.show(replace(learnt(), phase="draining"))
    assert [line.split()[2] for line in out.getvalue().splitlines()] == ["shopping", "draining"]


def test_on_a_terminal_it_redraws_in_place() -> None:
    out = io.StringIO()
    view = view_for(Console(file=out, width=80, height=24, force_terminal=True))
    assert isinstance(view, LiveView)
    with view:
        view.show(starting())
        view.show(learnt())
    assert "not luck" in out.getvalue()
    assert "\x1b[1A" in out.getvalue()
