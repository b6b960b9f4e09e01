"""The supervisor: small programs for its rules, the real services for their start, their end and the next start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from omakase.accounts import read_account
from omakase.adapters import open_catalogue_store, open_model_store
from omakase.adapters.local.spool import Spool
from omakase.config import load_product
from omakase.core.catalogue import Item
from omakase.core.errors import InvalidConfig, Unavailable
from omakase.core.ids import Pseudonym, new_request_id
from omakase.core.slates import Slate
from omakase.deployment import Deployment
from omakase.keys import load_keys
from omakase.models import keys, newest
from omakase.ports.model_store import ABSENT
from omakase.snapshots import model_key, model_version
from omakase.supervisor import Supervisor, child
from omakase.supervisor.child import Child, Program
from omakase.wire import encode_slate
from tests.fault.matrix.wire import post
from tests.integration.stage import PATIENCE_S, until
from tests.slates import Ranked, stamp

ROOT = Path(__file__).parents[2]
PRODUCT = """
placements:
  home-top:
    slots: 3
    variants:
      learnt: {share: 10000, policy: thompson, model: clicks}
policies:
  thompson: {type: linear_ts}
models:
  clicks: {features: taste}
features:
  taste:
    item:
      - {type: numeric, name: price, mean: 20, scale: 10}
"""
SMALL = {
    "dies": "import time\nprint(f'started {time.monotonic()}')\nraise SystemExit('no such luck')",
    "waits": "import signal\nprint('waiting', flush=True)\nsignal.pause()",
    "stubborn": "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('waiting', flush=True)\n"
    "while True: signal.pause()",
    "talks": "import time\nwhile True: print('x' * 100, flush=True); time.sleep(0.001)",
    "tells": "import os\nprint(sorted(name for name in os.environ if name.startswith('OMAKASE_')))",
}


@pytest.fixture
def program(tmp_path: Path) -> Callable[..., Program]:
    """A small program by its name."""
    modules = tmp_path / "modules"
    modules.mkdir()
    for name, source in SMALL.items():
        (modules / f"{name}.py").write_text(source)
    (tmp_path / "logs").mkdir()
    return lambda name, **more: Program(name, name, {"PYTHONPATH": str(modules)}, **more)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    config = tmp_path / "product.yaml"
    config.write_text(PRODUCT)
    return Deployment(config, tmp_path / "data")


@contextmanager
def kept(one: Child) -> Iterator[Child]:
    one.start()
    try:
        yield one
    finally:
        one.stop(grace_s=5.0)


def keep_until(one: Child, is_true: Callable[[], bool], what: str) -> None:
    def look() -> bool:
        one.keep()
        return is_true()

    until(look, what)


# One child


def test_what_dies_young_is_started_again_later_each_time(program, tmp_path):
    with kept(Child(program("dies"), tmp_path / "logs")) as one:
        keep_until(one, lambda: one.restarts == 4, "it was started five times")
        until(lambda: one.log_tail().count("no such luck") == 5, "it died five times")
    started = [float(line.split()[1]) for line in one.log_tail().splitlines() if line.startswith("started")]
    pauses = np.diff(started)
    assert all(pause > least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.4), strict=True))


def test_what_was_stopped_is_not_started_again(program, tmp_path):
    one = Child(program("waits"), tmp_path / "logs")
    one.start()
    until(lambda: "waiting" in one.log_tail(), "it runs")
    one.stop(grace_s=5.0)
    one.keep()
    assert (one.is_running, one.restarts) == (False, 0)
    with pytest.raises(ProcessLookupError, match="waits does not run"):
        _ = one.pid


def test_what_does_not_stop_is_killed(program, tmp_path, caplog):
    one = Child(program("stubborn"), tmp_path / "logs")
    one.start()
    until(lambda: "waiting" in one.log_tail(), "it runs")
    one.stop(grace_s=0.1)
    assert not one.is_running
    assert "stubborn did not stop within 0.1 s and was killed" in caplog.text


def test_a_step_that_fails_tells_why(program, tmp_path):
    with pytest.raises(ChildProcessError, match=r"dies ended with 1:(.|\n)*no such luck"):
        Child(program("dies"), tmp_path / "logs").run_once()


def test_a_long_log_is_put_aside_while_the_process_goes_on_writing(program, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "_LOG_BYTES", 5000)
    log, old = tmp_path / "logs" / "talks.log", tmp_path / "logs" / "talks.old.log"
    with kept(Child(program("talks"), tmp_path / "logs")) as one:
        keep_until(one, old.exists, "it is put aside")
        assert old.stat().st_size >= 5000
        size = log.stat().st_size
        until(lambda: log.stat().st_size != size, "it writes on")
    assert b"\0" not in log.read_bytes()


def test_a_log_that_somebody_removed_keeps_nobody_from_being_started_again(program, tmp_path):
    with kept(Child(program("dies"), tmp_path / "logs")) as one:
        (tmp_path / "logs" / "dies.log").unlink()
        keep_until(one, lambda: one.restarts == 1, "it is started again")


def test_variables_of_the_user_s_shell_are_not_the_process_s(program, tmp_path, monkeypatch):
    monkeypatch.setenv("OMAKASE_DATA_DIR", "data")
    one = Child(program("tells"), tmp_path / "logs")
    one.run_once()
    assert one.log_tail() == "[]"


def test_a_file_where_the_user_is_does_not_take_the_place_of_a_service(program, tmp_path, monkeypatch):
    (tmp_path / "tells.py").write_text("print('an impostor')")
    monkeypatch.chdir(tmp_path)
    one = Child(program("tells"), tmp_path / "logs")
    one.run_once()
    assert "impostor" not in one.log_tail()


# The supervisor, over small programs


def small(deployment: Deployment, programs: Sequence[Program]) -> Supervisor:
    class Small(Supervisor):
        def _programs(self) -> list[Program]:
            return list(programs)

    return Small(deployment)


@pytest.mark.parametrize("asks", [True, False], ids=["asked from outside", "only seen to run"])
def test_what_never_gets_ready_is_named_with_the_end_of_its_log(deployment, program, asks):
    dying = program("dies", is_ready=lambda: False) if asks else program("dies")
    with small(deployment, [program("waits"), dying]) as up:
        until(lambda: up.processes["dies"].restarts >= 4, "it died often")
        with pytest.raises(Unavailable, match=r"dies is not ready after 0.2 s; its log ends with:(.|\n)*no such luck"):
            up.wait_ready(timeout_s=0.2)


def test_waiting_for_readiness_keeps_to_its_time_however_long_each_question_takes(deployment, program):
    slow = program("waits", is_ready=lambda: time.sleep(0.3) is not None)
    with small(deployment, [slow]) as up:
        began = time.monotonic()
        with pytest.raises(Unavailable):
            up.wait_ready(timeout_s=0.5)
        assert time.monotonic() - began < 5.0


def test_the_watcher_outlives_a_process_that_cannot_be_started(deployment, program, monkeypatch, caplog):
    with small(deployment, [program("dies"), program("waits")]) as up:
        monkeypatch.setattr(Child, "_spawn", lambda _: (_ for _ in ()).throw(OSError("no more processes")))
        until(lambda: "cannot look after dies: no more processes" in caplog.text, "starting fails")
        monkeypatch.undo()
        waits = up.processes["waits"]
        os.kill(waits.pid, signal.SIGKILL)
        until(lambda: waits.restarts == 1, "the others are looked after")


def test_a_data_directory_has_one_supervisor(deployment):
    with small(deployment, []), pytest.raises(Unavailable, match=r"another omakase runs on .*data: stop it, or choose"):
        small(deployment, [])
    with small(deployment, []):
        pass


@pytest.mark.parametrize("which", ["http_port", "tracking_port"])
def test_a_taken_port_is_named_and_nothing_is_left_behind(deployment, which, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"cannot listen on 127.0.0.1:{port}: .*; choose another port"):
            Supervisor(Deployment(deployment.config, deployment.data_dir, **{which: port}))
    assert list((tmp_path / "temporary").iterdir()) == []
    with small(deployment, []):
        pass


def test_a_host_that_is_not_ours_is_named(deployment):
    with pytest.raises(Unavailable, match=r"cannot listen on 203.0.113.7:0: .*; choose another host"):
        Supervisor(Deployment(deployment.config, deployment.data_dir, host="203.0.113.7"))


def test_a_data_directory_that_cannot_be_one_is_named(deployment, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"cannot use the data directory .*file"):
        Supervisor(Deployment(deployment.config, tmp_path / "file"))


def test_a_faulty_configuration_is_refused_before_anything_is_made(deployment, tmp_path):
    deployment.config.write_text(PRODUCT + "polices: {}\n")
    with pytest.raises(InvalidConfig, match="policies"):
        Supervisor(deployment)
    assert not deployment.data_dir.exists()


# The real services


class Up:
    """`omakase up` as a person starts it."""

    def __init__(self, deployment: Deployment) -> None:
        program = [sys.executable, "-c", "from omakase.cli import main; main()", "up"]
        where = ["--config", str(deployment.config), "--data-dir", str(deployment.data_dir)]
        self.process = subprocess.Popen(
            [*program, *where, "--port", "0", "--tracking-port", "0"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().replace(",", " ").split()
        assert words[:3] == ["omakase", "is", "ready:"], words
        self.gateway, self.tracking = (word for word in words if word.startswith("http://"))

    def children(self) -> list[int]:
        return [pid for pid, parent, _ in processes() if parent == self.process.pid]

    def end(self, number: int) -> tuple[int, str]:
        """Send a signal. Returns the exit code, and what was said since."""
        self.process.send_signal(number)
        said, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, said

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGTERM)


def processes() -> list[tuple[int, int, str]]:
    """(pid, parent, state) of all that run."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=True)
    return [(int(pid), int(parent), state) for pid, parent, state in map(str.split, listed.stdout.splitlines())]


@pytest.fixture
def stocked(deployment: Deployment) -> Deployment:
    open_catalogue_store(deployment.uris.catalogue).put([Item(f"i{i}", {"price": float(i)}) for i in range(6)])
    return deployment


def recommend(url: str, person: str) -> dict[str, Any]:
    answer = post(url, "/v1/recommendations", {"placement": "home-top", "anonymous_id": person})
    assert answer.status == 200, answer
    return answer.body


def report(url: str, *delivery_ids: str, kind: str = "impression") -> None:
    events = [{"delivery_id": delivery_id, "type": kind} for delivery_id in delivery_ids]
    answer = post(url, "/v1/events", {"events": events})
    assert (answer.status, answer.body) == (202, {"accepted": len(events), "rejected": []})


@pytest.mark.slow
def test_processes_whose_supervisor_was_killed_end_by_themselves(stocked):
    with Up(stocked) as up:
        assert post(up.gateway, "/v1/recommendations", {"placement": "home-top", "anonymous_id": "p"}).status == 200
        orphans = set(up.children())
        assert len(orphans) == 5
        up.end(signal.SIGKILL)
        until(lambda: not {pid for pid, _, state in processes() if "Z" not in state} & orphans, "all have ended")
    with small(stocked, []):
        pass


@pytest.mark.slow
def test_a_stop_drains_and_the_next_start_goes_on_where_it_was(stocked):
    with Up(stocked) as up:
        seen = [item["delivery_id"] for item in recommend(up.gateway, "p1")["items"]]
        report(up.tracking, *seen)
        unrecorded = slate_of(stocked)
        report(up.tracking, unrecorded.deliveries[0].delivery_id, kind="click")
        code, said = up.end(signal.SIGTERM)
    assert (code, said) == (0, "draining…\n")
    stopped = read_account(stocked)
    assert (stopped.recorded, stopped.accepted, stopped.parked) == (3, 4, 1)

    # The record that the parked click waits for, as a recommender would have left it that was killed.
    spool = Spool(stocked.root / "spool" / "recommender-main")
    spool.append(encode_slate(unrecorded))
    spool.close()
    with Supervisor(stocked) as again:
        again.wait_ready(timeout_s=60)
        until(lambda: read_account(stocked).recorded == 6, "the spooled record is shipped")
        until(lambda: read_account(stocked).parked == 0, "the parked click is joined")
        report(again.tracking_url, seen[0], kind="click")
        again.drain()
    account = read_account(stocked)
    assert account.faults() == []
    assert (account.deliveries.open, account.events.open, account.parked) == (0, 0, 0)
    assert account.deliveries.ends == {"learnt": 2, "learnt_without_click": 2, "unseen": 2}
    assert account.events.ends == {"used": 5}
    store = open_model_store(stocked.uris.models)
    statistics = newest(store, keys(store)[0]).snapshot.statistics
    assert (statistics.examples, statistics.outcomes["click"].energy) == (4, 2.0)


def slate_of(deployment: Deployment) -> Slate:
    """A slate that was served and whose record nobody has seen yet."""
    now = time.time()
    request_id = new_request_id(now, os.urandom)
    spec = load_product(deployment.config).feature_spec("clicks")
    model = model_key("clicks", spec.schema_id)
    ranking = [Ranked(f"i{i}", 0.5, spec.encode_item({"price": float(i)}), {}) for i in range(3)]
    return Slate(
        request_id=request_id,
        served_at=now,
        placement="home-top",
        variant="learnt",
        policy="thompson",
        model=model,
        model_version=model_version(model, ABSENT),
        catalogue_generation=1,
        unit=Pseudonym("unit"),
        user=Pseudonym(""),
        context={},
        context_factor=spec.encode_context({}),
        deliveries=stamp(ranking, request_id, load_keys(deployment.keys)),
    )
