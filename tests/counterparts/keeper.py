"""Runs a command for as long as the process with the given pid lives: `keeper.py PID COMMAND…`."""

import os
import signal
import subprocess
import sys
import time


def main() -> None:
    owner, command = int(sys.argv[1]), sys.argv[2:]
    child = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    while child.poll() is None and _lives(owner):
        time.sleep(0.2)
    os.killpg(0, signal.SIGKILL)  # an emulator is a shell script that starts a Java process


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
