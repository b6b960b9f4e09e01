"""The competitors' own Python: installed once, driven from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_HOME = _ROOT / ".venv" / ".competitors"
_INSTALL_S = 900.0


class NotInstalled(RuntimeError):
    """The competitors cannot be had on this machine; says why and what to do."""


def python() -> Path:
    """The interpreter that can import the competitors. Installs them on first use and when the requirements change.

    Only wheels are taken: whoever runs a benchmark has no compiler. Cost: half a minute once, 350 MB of disk.
    Raises: NotInstalled.
    """
    interpreter, stamp = _HOME / "bin" / "python", _HOME / "requirements.txt"
    if stamp.is_file() and stamp.read_bytes() == _REQUIREMENTS.read_bytes():
        return interpreter
    print(f"Installing the competitors into {_HOME.relative_to(_ROOT)}, once ...", file=sys.stderr, flush=True)
    _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(_HOME))
    _uv("pip", "install", "--quiet", "--only-binary", ":all:", "--python", str(interpreter), "-r", str(_REQUIREMENTS))
    stamp.write_bytes(_REQUIREMENTS.read_bytes())
    return interpreter


def start(module: str, interpreter: Path | None = None) -> subprocess.Popen[str]:
    """Start `python -m module` among the competitors, or under `interpreter`, with this repository to import from, to
    be driven over standard input and output. What it writes to standard error is this process's.

    Among the competitors a module, and all that it imports, must do without the product's dependencies except numpy
    and scipy. Raises: NotInstalled.
    """
    environ = {**os.environ, "PYTHONPATH": str(_ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [str(interpreter or python()), "-m", module]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=_ROOT, env=environ, stdin=pipe, stdout=pipe, text=True)


def ask(module: str, question: object, timeout_s: float) -> Any:
    """Hand one JSON question to a module on its standard input; its standard output is the JSON answer.

    Raises: NotInstalled; RuntimeError if the process fails; subprocess.TimeoutExpired, and then it is gone.
    """
    with start(module) as process:
        try:
            answer, _ = process.communicate(json.dumps(question), timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"{module} failed with {process.returncode}; standard error says why")
    return json.loads(answer)


def _uv(*arguments: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    try:
        subprocess.run([str(uv), *arguments], check=True, capture_output=True, text=True, timeout=_INSTALL_S)
    except FileNotFoundError:
        raise NotInstalled(f"the competitors need uv, and {uv} is not there: run `make test` or `make demo`") from None
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"installing the competitors took longer than {_INSTALL_S:g} s") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.strip()
        raise NotInstalled(f"the competitors cannot be installed (uv {arguments[0]}):\n{said}") from error
