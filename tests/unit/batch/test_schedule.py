"""Jobs run when they are due, and a failure of one stops nothing."""

from __future__ import annotations

from threading import Event

from batch.schedule import Job, run_when_due
from omakase.core.errors import Unavailable


def test_jobs_come_again_each_at_its_own_period_even_after_a_failure(caplog):
    stopping, ran = Event(), []

    def often() -> None:
        ran.append("often")
        if len(ran) == 5:
            stopping.set()
        raise Unavailable("no room")

    run_when_due({"often": Job(often, 0.001), "seldom": Job(lambda: ran.append("seldom"), 3600.0)}, stopping)
    assert ran == ["often"] * 5
    assert "job often is tried again in 0.001 s: no room" in caplog.text


def test_a_job_that_is_due_often_does_not_keep_others_away():
    stopping, ran = Event(), []
    run_when_due(
        {"busy": Job(lambda: ran.append("busy"), 0.0), "other": Job(stopping.set, 0.01)},
        stopping,
    )
    assert ran
