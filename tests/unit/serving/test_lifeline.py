"""The pipe between a process and its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
HOLD = """
import signal, sys
from omakase.serving.lifeline import hold
hold(int(sys.argv[1]) if len(sys.argv) > 1 else None)
print("held", flush=True)
sys.stdin.read()
"""


def start(*arguments: str, fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, *arguments],
        cwd=ROOT,
        pass_fds=fds,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_process_ends_when_the_other_end_is_closed_and_not_before():
    reading, writing = os.pipe()
    with start(str(reading), fds=(reading,)) as child:
        os.close(reading)
        assert child.poll() is None
        os.close(writing)
        assert child.wait(10) == -signal.SIGTERM


def test_without_a_lifeline_a_process_lives_by_itself():
    with start() as child:
        child.communicate("")
        assert child.returncode == 0
