"""How a run ends, for people and for scripts."""

from __future__ import annotations

import io
import json
from dataclasses import replace

from rich.console import Console

from omakase.core.evaluation import Estimate
from omakase.demo.frame import Frame
from omakase.demo.scoreboard import Score
from omakase.demo.summary import print_summary, summary
from tests.unit.demo.frames import learnt, starting


def printed(frame: Frame, faults: list[str]) -> str:
    console = Console(file=io.StringIO(), width=80)
    with console.capture() as capture:
        print_summary(console, frame, faults)
    return capture.get()


def test_it_tells_what_was_learnt_and_what_to_do_next() -> None:
    text = " ".join(printed(learnt(), []).split())
    for fact in (
        "1.48 % [1.31, 1.67]",
        "3.94 % [3.70, 4.19]",
        "4.61 %",
        "+166 %",
        "intervals are apart",
        "50 %",
        "24,000",
    ):
        assert fact in text, fact
    assert "balances to the event" in text
    assert "omakase up --config" in text


def test_it_names_every_fault_instead_of_praise() -> None:
    text = printed(learnt(), ["tracking [lost] one"])
    assert "tracking [lost] one" in text
    assert "balances to the event" not in text


def test_scripts_get_strict_json_even_of_a_run_without_data() -> None:
    unbounded = Score(Estimate(0.01, 0.0, 0.02, 5, 5.0), 5, 100, 1)
    for frame in (learnt(), starting(), replace(learnt(), control=unbounded)):
        told = json.loads(json.dumps(summary(frame, ["one"]), allow_nan=False))
        assert told["balanced"] is False
        assert told["variants"]["learnt"]["impressions"] == frame.treatment.impressions
    assert json.dumps(summary(learnt(), []), allow_nan=False)
