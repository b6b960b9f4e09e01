"""A clock that a replay moves for every process."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from omakase.adapters.local.clock import MappedClock
from omakase.core.errors import Corrupt, InvalidInput, Unavailable

TELL = """
import sys
from omakase.adapters import open_clock
clock = open_clock(sys.argv[1])
for _ in sys.stdin:
    print(clock.now(), flush=True)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "clock"


def test_stands_still_until_it_is_moved(path):
    clock = MappedClock.create(path, 100.25)
    assert clock.now() == clock.now() == 100.25
    assert clock.move(200.5) == 200.5
    assert clock.now() == 200.5


def test_never_goes_back(path):
    clock = MappedClock.create(path, 100.0)
    assert clock.move(50.0) == 100.0
    assert MappedClock.create(path, 70.0).now() == 100.0
    assert clock.now() == 100.0


def test_creating_it_again_moves_it_for_those_who_have_it_open(path):
    clock = MappedClock.create(path, 100.0)
    MappedClock.create(path, 300.0)
    assert clock.now() == 300.0


def test_another_process_reads_the_move(path):
    clock = MappedClock.create(path, 100.0)
    child = subprocess.Popen(
        [sys.executable, "-c", TELL, f"mapped:{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with child:
        for at in (100.0, 1_573_000_000.125):
            clock.move(at)
            child.stdin.write("\n")
            child.stdin.flush()
            assert float(child.stdout.readline()) == at
        child.stdin.close()


def test_racing_movers_never_take_it_back(path):
    MappedClock.create(path, 0.0)
    clocks = [MappedClock(path) for _ in range(4)]

    def move(worker: int) -> None:
        for n in range(2000):
            to = float(n * 4 + worker)
            assert clocks[worker].move(to) >= to
            assert clocks[worker].now() >= to

    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(move, range(4)))
    finally:
        sys.setswitchinterval(switching)
    assert clocks[0].now() == 7999.0


@pytest.mark.parametrize("at", [float("nan"), float("inf")])
def test_refuses_times_that_are_none(path, at):
    with pytest.raises(InvalidInput):
        MappedClock.create(path, at)
    clock = MappedClock.create(path, 1.0)
    with pytest.raises(InvalidInput):
        clock.move(at)
    assert clock.now() == 1.0


def test_is_unavailable_before_it_is_created(path):
    with pytest.raises(Unavailable, match="a replay creates"):
        MappedClock(path)


def test_a_file_of_another_size_is_no_clock(path):
    path.parent.mkdir()
    path.write_bytes(b"1234567")
    with pytest.raises(Corrupt, match="8 bytes"):
        MappedClock(path)
