"""The most that this machine computes and moves: the two lines of its roofline."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

from hubkit.errors import HubkitError
from hubkit.formats_records import Peak, Peaks
from hubkit.records import MachineInfo, Record
from hubkit.stage import Context, stage
from hubkit.stages.peaks_worker import FLOAT16_FLAGS, Ask, Found

# Its working folder is another, so a checkout that is only in the caller's would not be found.
_WORKER = (
    "import sys; sys.path.append(sys.argv[1]); from hubkit.stages.peaks_worker import main; main()"
)
_MOST_SECONDS = 300  # of a process that should be done in ten


class PeaksInput(Record):
    """The machine and how many threads an engine gets. `gpu`: the name of its GPU, measured too."""

    machine: MachineInfo
    threads: Annotated[int, Field(ge=1)]
    gpu: str | None = None


@stage(
    "peaks",
    version=1,
    kind="measured",
    takes=PeaksInput,
    gives=Peaks,
    tools=("onnxruntime", "torch", "numpy"),
)
def peaks(given: PeaksInput, ctx: Context) -> Peaks:
    """Square products in FP32, BF16, FP16 and INT8, each by the library that is fastest here at the
    size that it is fastest at, and a copy of memory; in a process of its own, in about 10 s.

    A time is the median over three rounds of the least in each. What cannot be measured is in
    `missing`. Raises HubkitError when the process dies.
    """
    ctx.progress("measuring peaks", 0, 1)
    ask = Ask(
        threads=given.threads,
        gpu=given.gpu is not None,
        float16=bool(FLOAT16_FLAGS & set(given.machine.flags)),
        memory_gib=given.machine.memory_gib,
    )
    found = _measured(ask, ctx.scratch)
    ctx.progress("measuring peaks", 1, 1)
    return Peaks(
        machine=given.machine,
        threads=given.threads,
        peaks=_fastest(found.peaks),
        bandwidths=found.bandwidths,
        missing=found.missing,
    )


def _measured(ask: Ask, folder: Path) -> Found:
    try:
        done = subprocess.run(
            [sys.executable, "-c", _WORKER, str(Path(__file__).parents[2])],
            input=ask.model_dump_json(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env={**os.environ, "PYTHONWARNINGS": "ignore"},
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HubkitError(
            f"the micro-benchmarks of this machine took more than {_MOST_SECONDS} s",
            hint="Let other work on the machine end first.",
        ) from None
    if done.returncode:
        tail = done.stderr.strip()[-1000:]
        raise HubkitError(
            f"the process of the micro-benchmarks ended with code {done.returncode}\n{tail}"
        )
    return Found.model_validate_json(done.stdout)


def _fastest(found: tuple[Peak, ...]) -> tuple[Peak, ...]:
    best: dict[tuple[str, str], Peak] = {}
    for peak in found:
        key = (peak.device, peak.precision)
        if key not in best or peak.flops_per_s > best[key].flops_per_s:
            best[key] = peak
    return tuple(best.values())
