"""The load generator's own process: a JSON call a line in, a level a line out.

Of its own, so that it shares no interpreter with a server, and can be kept to one core.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from pathlib import Path
from typing import TextIO

from hubkit.formats_records import ServingPlan
from hubkit.record_base import Record
from hubkit.serving.arrivals import arrivals, open_plan
from hubkit.serving.load_http import Drive, Target
from hubkit.serving.windows import Meter, level_of


class LoadCall(Record):
    """One level. `requests`: path of a file with whole HTTP requests, each after its length in 4
    bytes, big-endian. `pid`: of the server, where it is a process of this machine that may be
    looked at. `cpu`: the only one to run on; None: any."""

    host: str
    port: int
    requests: str
    plan: ServingPlan
    concurrency: int | None = None
    rate_per_s: float | None = None
    pid: int | None = None
    cpu: int | None = None


def write_requests(path: Path, requests: list[bytes]) -> None:
    """Write what `LoadCall.requests` names."""
    path.write_bytes(b"".join(len(one).to_bytes(4, "big") + one for one in requests))


def read_requests(path: Path) -> list[bytes]:
    """What `write_requests` wrote."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    return found


def run(call: LoadCall) -> str:
    """Measure a level; gives it as JSON."""
    if call.cpu is not None:
        os.sched_setaffinity(0, {call.cpu})
    pid = call.pid
    rate = call.rate_per_s
    plan = call.plan if rate is None else open_plan(call.plan, rate)
    meter = Meter(plan, (lambda: cpu_seconds(pid)) if pid is not None else None)
    drive = Drive(Target(call.host, call.port), read_requests(Path(call.requests)), meter)
    gc.collect()
    gc.disable()
    if rate is not None:
        drive.opened(arrivals(call.plan, rate))
    else:
        assert call.concurrency is not None
        drive.closed(call.concurrency)
    gc.enable()
    return level_of(
        meter.windows,
        batch_size=call.plan.batch_size,
        concurrency=call.concurrency,
        rate_per_s=call.rate_per_s,
        peak_rss_mb=peak_mb(pid) if pid is not None else None,
    ).model_dump_json()


def cpu_seconds(pid: int) -> float | None:
    """CPU time of a process so far; None where it cannot be known."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float | None:
    """The most memory that a process held, in 10**6 bytes; None where it cannot be known."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def serve(calls: TextIO, answers: TextIO) -> None:
    """Answer calls until they end: a level, or {"error": …, "hint": …}."""
    import json

    from hubkit.errors import HubkitError

    while line := calls.readline():
        try:
            answer = run(LoadCall.model_validate_json(line))
        except HubkitError as error:
            answer = json.dumps({"error": error.message, "hint": error.hint})
        answers.write(answer + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
