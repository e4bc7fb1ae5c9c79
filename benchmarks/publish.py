"""A warm publish of the demo, then the same again: python -m benchmarks.publish.

Warm: the base model is built and cached, all else starts from nothing. Prints wall time, where it
went stage by stage, and the peak memory of the whole process tree, as one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.tree import Measured, measure
from hubkit.machine import machine_info
from tests.demo_home import environment, hub_of, warm_home

COMMAND = (sys.executable, "-m", "hubkit", "publish", "distilbert-sst2", "--demo")


def _publish(home: Path) -> tuple[Measured, dict[str, object]]:
    done = measure([*COMMAND, "--format", "json"], environment(home))
    if done.returncode:
        raise SystemExit(done.stderr or done.stdout)
    return done, json.loads(done.stdout)


def main() -> None:
    """Run twice in a home of its own."""
    machine = machine_info()
    with tempfile.TemporaryDirectory() as folder:
        home = warm_home(Path(folder))
        with hub_of(home):
            first, said = _publish(home)
            second, again = _publish(home)
    result = {
        "machine": machine.cpu,
        "logical_cpus": machine.logical_cpus,
        "first": {
            "seconds": round(first.seconds, 1),
            "peak_mb": round(first.peak_mb),
            "stages": said["stages"],
            "variants": said["variants"],
        },
        "again": {
            "seconds": round(second.seconds, 2),
            "peak_mb": round(second.peak_mb),
            "made_commit": again["made_commit"],
        },
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
