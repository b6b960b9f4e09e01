"""Lines of the log: what stands in each, and how few there are."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from omakase.logs import CORRELATION_ID, TRACE_ID, FewLines, Format, new_handler

AT = 1_760_000_000.25


@pytest.fixture
def written(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    """What the logger `shop` writes, in the format that the test asks for."""
    style: Format = request.param
    stream = io.StringIO()
    log, handler = logging.getLogger("shop"), new_handler("gateway", style, stream)
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def record(message: str, *args: object, **more: object) -> None:
    log = logging.getLogger("shop")
    one = log.makeRecord("shop", logging.WARNING, "shop.py", 1, message, args, None, extra=more)
    one.created, one.msecs = AT, 250.0
    log.handle(one)


@pytest.mark.parametrize("written", ["json"], indirect=True)
def test_a_json_line_is_one_object_whatever_is_in_the_message(written: io.StringIO) -> None:
    record('two\nlines of "%s"', "tea", request_id="slate-1")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line) == {
        "time": "2025-10-09T08:53:20.250Z",
        "level": "WARNING",
        "service": "gateway",
        "logger": "shop",
        "message": 'two\nlines of "tea"',
        "request_id": "slate-1",
    }


@pytest.mark.parametrize("written", ["json"], indirect=True)
def test_a_traceback_goes_into_its_line(written: io.StringIO) -> None:
    try:
        raise ValueError("no tea")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    (line,) = written.getvalue().splitlines()
    assert json.loads(line)["error"].endswith("ValueError: no tea")


@pytest.mark.parametrize("written", ["text"], indirect=True)
def test_a_text_line_ends_with_what_it_is_about(written: io.StringIO) -> None:
    record("no tea", request_id="slate-1")
    assert written.getvalue() == "2025-10-09T08:53:20.250Z WARNING gateway shop: no tea request_id=slate-1\n"


@pytest.mark.parametrize("written", ["json"], indirect=True)
def test_a_line_names_the_request_and_the_trace_that_it_belongs_to(written: io.StringIO) -> None:
    before = CORRELATION_ID.set("call-12345"), TRACE_ID.set("ab" * 16)
    record("no tea")
    CORRELATION_ID.reset(before[0])
    TRACE_ID.reset(before[1])
    record("tea")
    first, second = map(json.loads, written.getvalue().splitlines())
    assert (first["correlation_id"], first["trace_id"]) == ("call-12345", "ab" * 16)
    assert not {"correlation_id", "trace_id", "request_id"} & second.keys()


def test_of_many_lines_on_one_topic_few_are_written_and_none_is_lost(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    lines = FewLines(logging.getLogger("shop"), lambda: now)
    for _ in range(1000):
        lines.warn("tea", "no %s", "tea", request_id="slate-1")
    lines.warn("milk", "no milk")
    now = 1.0
    lines.warn("tea", "no %s", "tea", request_id="slate-2")
    assert caplog.messages == ["no tea", "no milk", "no tea; and 999 more since the last line"]
    assert [one.request_id for one in caplog.records if "tea" in one.message] == ["slate-1", "slate-2"]  # type: ignore[attr-defined]
