"""`kill -9`, again and again, without waiting for anyone to be well again."""

from __future__ import annotations

import os
import signal

from tests.fault.matrix.row import Scene, pause, until

_TIMES = 50


def kill_at_random(scene: Scene, times: int = _TIMES) -> str:
    """Kill one process after another as soon as it runs, whatever the others are doing."""
    for _ in range(times):
        kill(scene, scene.random.choice(list(scene.up.processes)))
        pause(0.2 + 1.2 * scene.random.random())
    return f"kill -9 of a random process, {times} times"


def kill(scene: Scene, name: str) -> None:
    """Kill a process that runs, and wait until the next one does."""
    child = scene.up.processes[name]
    restarts = child.restarts
    until(lambda: _is_killed(scene, name), f"{name} runs, so that it can be killed")
    until(lambda: child.restarts > restarts, f"{name} runs again")


def _is_killed(scene: Scene, name: str) -> bool:
    try:
        os.kill(scene.up.processes[name].pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
