"""How long `hubkit --help` takes: python -m benchmarks.cli_start."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time

from hubkit.machine import machine_info

RUNS = 15


def _seconds(command: list[str]) -> list[float]:
    taken = []
    for _ in range(RUNS):
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return taken


def main() -> None:
    """Print medians and extremes as JSON, beside a Python that does nothing."""
    machine = machine_info()
    result = {
        "machine": machine.cpu,
        "logical_cpus": machine.logical_cpus,
        "python": machine.python,
        "runs": RUNS,
    }
    for name, command in {
        "python -c pass": [sys.executable, "-c", "pass"],
        "hubkit --help": [sys.executable, "-m", "hubkit", "--help"],
    }.items():
        taken = _seconds(command)
        result[name] = {
            "median_s": round(statistics.median(taken), 3),
            "min_s": round(min(taken), 3),
            "max_s": round(max(taken), 3),
        }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
