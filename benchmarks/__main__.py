"""`python -m benchmarks [NAME ...]`: all of them, or those named."""

from __future__ import annotations

import os
import platform
import sys

from benchmarks import events, recommendations

BENCHMARKS = {"recommendations": recommendations.measure, "events": events.measure}


def main() -> None:
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        sys.exit(f"no benchmark {', '.join(sorted(unknown))}; known: {', '.join(BENCHMARKS)}")
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; read ratios, not digits")
    for name in names:
        for line in BENCHMARKS[name]():
            print(line, flush=True)


if __name__ == "__main__":
    main()
