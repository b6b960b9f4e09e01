"""Giving way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_TELL = """
import os
from pathlib import Path
from omakase.serving.priority import give_way
give_way(7)
print(os.nice(0), Path("/proc/self/autogroup").read_text().split()[-1])
"""


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel does not tell sessions apart")
def test_a_process_that_leads_a_session_gives_way_to_other_sessions_too():
    told = subprocess.run(
        [sys.executable, "-c", _TELL], start_new_session=True, stdout=subprocess.PIPE, check=True, text=True
    )
    assert told.stdout.split() == ["7", "7"]
