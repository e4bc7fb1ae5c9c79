"""What an engine really reaches at each batch size."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from hubkit.errors import HubkitError
from hubkit.formats_records import Engine
from hubkit.records import MachineInfo, Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.benchmark import token_ids
from hubkit.stages.benchmark_child import Child
from hubkit.stages.benchmark_worker import Load, Measure, Measured

if TYPE_CHECKING:
    from hubkit.stages.benchmark_worker import TokenIds

_LEAST_CALLS = 3  # of a point, beside one to warm up


class BatchCurveInput(Record):
    """The engine with its variant, and the shape. `seconds`: for all points together, beside
    loading; what would take much longer ends the curve. `gpu`: the name of the machine's GPU."""

    engine: Engine
    variant: Variant
    input_length: Annotated[int, Field(ge=2)]
    threads: Annotated[int, Field(ge=1)]
    machine: MachineInfo
    gpu: str | None = None
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    seconds: Annotated[float, Field(gt=0)] = 3.0
    seed: int = 13


class CallTime(Record):
    """The mean of single calls of one batch size."""

    batch_size: int
    mean_ms: float
    calls: int


class CallTimes(Record):
    """`times` by rising batch size; at least the first."""

    engine: str
    input_length: int
    threads: int
    times: tuple[CallTime, ...]


@stage("batch-curve", version=1, kind="measured", takes=BatchCurveInput, gives=CallTimes)
def batch_curve(given: BatchCurveInput, ctx: Context) -> CallTimes:
    """Mean times of calls with random token ids at full length, each batch size in turn, in a
    process of its own. Loading, compiling and one call of each shape are not timed. Raises
    HubkitError when the process fails or dies."""
    folder = ctx.store.path(given.variant.artifact)
    tokens = token_ids(folder, given.seed)
    times: list[CallTime] = []
    child = Child(given.engine.name, ctx.scratch / "batch-curve")
    try:
        ctx.progress("loading", 0, len(given.batch_sizes))
        child.send(
            Load(
                variant=given.variant,
                folder=str(folder),
                threads=given.threads,
                engine=given.engine,
            )
        )
        child.receive()
        began = monotonic()
        for done, size in enumerate(given.batch_sizes):
            ctx.progress("measuring", done, len(given.batch_sizes))
            if times and _too_long(times[-1], size, given.seconds - (monotonic() - began)):
                break
            times.append(_measured(child, given, tokens, size))
    finally:
        child.kill()
    return CallTimes(
        engine=given.engine.name,
        input_length=given.input_length,
        threads=given.threads,
        times=tuple(times),
    )


def _too_long(last: CallTime, size: int, left: float) -> bool:
    """Whether a point would take more than twice what is left; time grows with the batch."""
    call = last.mean_ms / 1e3 * size / last.batch_size
    return (_LEAST_CALLS + 1) * call > max(2 * left, 0.5)


def _measured(child: Child, given: BatchCurveInput, tokens: TokenIds, size: int) -> CallTime:
    child.send(
        Measure(
            tokens=tokens,
            batch_size=size,
            input_length=given.input_length,
            warmup=1,
            min_iterations=_LEAST_CALLS,
            min_seconds=given.seconds / len(given.batch_sizes) / 2,
        )
    )
    answer = child.receive()
    if not isinstance(answer, Measured):
        raise HubkitError(f"the process of {given.engine.name} gave no measurement")
    calls = len(answer.latencies_ns)
    mean = sum(answer.latencies_ns) / calls / 1e6
    return CallTime(batch_size=size, mean_ms=mean, calls=calls)
