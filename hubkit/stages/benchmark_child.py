"""The parent's end of a benchmark process."""

from __future__ import annotations

from pydantic import TypeAdapter

from hubkit.stages import child
from hubkit.stages.benchmark_worker import Answer


class Child(child.Child[Answer]):
    """A process that holds one variant: it takes Load, then Measure."""

    module = "hubkit.stages.benchmark_worker"
    answers: TypeAdapter[Answer] = TypeAdapter(Answer)
    stage = "benchmark"
    process = "the benchmark process"
    cure = (
        "Run the same command again: finished stages are kept. Where memory is short, take fewer"
        " variants or smaller benchmark.batch_sizes."
    )
