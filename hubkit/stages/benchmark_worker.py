"""The process that holds one model for the benchmark: JSON calls in, JSON answers out, one a line.

It sleeps in a read until it is asked, so that a model that is not being measured takes no CPU, and
it ends when its stdin does or, on Linux, in the moment its parent dies.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import signal
import sys
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from pydantic import Field, TypeAdapter

from hubkit.errors import ModelError
from hubkit.executors.worker import error_event
from hubkit.formats_records import Engine
from hubkit.records import Record, Variant
from hubkit.stages.energy import POWERCAP, microjoules, read_energy

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays, Session


class Load(Record):
    """The first call: the model to hold. `engine`: what runs it; None: its format's own runtime."""

    kind: Literal["load"] = "load"
    variant: Variant
    folder: str
    threads: int
    engine: Engine | None = None


class TokenIds(Record):
    """What the inputs are drawn from: equal values give equal arrays, in every process."""

    vocab_size: int
    pad_token_id: int | None
    seed: int


class Measure(Record):
    """Time calls of one shape until there are `min_iterations` and `min_seconds` of them."""

    kind: Literal["measure"] = "measure"
    tokens: TokenIds
    batch_size: int
    input_length: int
    warmup: int
    min_iterations: int
    min_seconds: float


class Ready(Record):
    """The model is loaded."""

    kind: Literal["ready"] = "ready"


class Measured(Record):
    """Each call's duration; `started_ns` and `ended_ns` are of the clock that processes share.
    `energy_uj`: what the processor packages took from start to end; None where nothing tells."""

    kind: Literal["measured"] = "measured"
    latencies_ns: tuple[int, ...]
    started_ns: int
    ended_ns: int
    peak_rss_mb: float | None
    energy_uj: int | None = None


class Fault(Record):
    """An exception, as `hubkit.executors.worker.error_event` tells it."""

    kind: Literal["fault"] = "fault"
    error: dict[str, object]


Call = Annotated[Load | Measure, Field(discriminator="kind")]
Answer = Annotated[Ready | Measured | Fault, Field(discriminator="kind")]


def model_inputs(names: tuple[str, ...], call: Measure) -> Arrays:
    """Inputs int64[batch_size, input_length] by name: random token ids, no padding, one segment.

    Nothing is padded, so that every token counted is a token computed. Raises ModelError for an
    input that a text classifier does not have.
    """
    import numpy as np

    shape = (call.batch_size, call.input_length)
    draw = np.random.default_rng([call.tokens.seed, *shape])
    pad = call.tokens.pad_token_id
    ids = draw.integers(0, call.tokens.vocab_size - (pad is not None), shape, dtype=np.int64)
    if pad is not None:
        ids += ids >= pad  # every id but the one of padding
    known = {
        "input_ids": ids,
        "attention_mask": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }
    if unknown := sorted(set(names) - set(known)):
        raise ModelError(f"the model takes an input that cannot be made up: {', '.join(unknown)}")
    return {name: known[name] for name in names}


def measure(session: Session, call: Measure, powercap: Path = POWERCAP) -> Measured:
    """Durations of single calls and their energy, garbage collection off, warm-up calls not
    counted."""
    arrays = model_inputs(session.input_names, call)
    latencies: list[int] = []
    least_ns, spent_ns = call.min_seconds * 1e9, 0
    gc.collect()
    gc.disable()
    try:
        for _ in range(call.warmup):
            session.run(arrays)
        energy = read_energy(powercap)
        started = perf_counter_ns()
        while len(latencies) < call.min_iterations or spent_ns < least_ns:
            start = perf_counter_ns()
            session.run(arrays)
            latency = perf_counter_ns() - start
            latencies.append(latency)
            spent_ns += latency
        ended = perf_counter_ns()
        energy_uj = microjoules(energy, read_energy(powercap))
    finally:
        gc.enable()
    return Measured(
        latencies_ns=tuple(latencies),
        started_ns=started,
        ended_ns=ended,
        peak_rss_mb=peak_rss_mb(),
        energy_uj=energy_uj,
    )


def peak_rss_mb() -> float | None:
    """The most memory that this process ever held, in 10**6 bytes; None where it cannot be known.

    Not ru_maxrss on Linux: execve carries the parent's peak over into it.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(), re.MULTILINE)
        return int(found[1]) * 1024 / 1e6 if found else None
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None


def load(call: Load) -> Session:
    """The model, loaded and ready to run."""
    from hubkit.backends import runtime_for
    from hubkit.backends.engines import load_engine

    folder, file = Path(call.folder), call.variant.model_file
    if call.engine is not None:
        session = load_engine(call.engine, folder, file, threads=call.threads)
    else:
        session = runtime_for(call.variant).load(folder, file, threads=call.threads)
    gc.collect()
    gc.freeze()  # what loading made is never garbage: collecting need not look at it again
    return session


def serve(calls: TextIO, answers: TextIO) -> None:
    """Answer calls until `calls` ends; an exception is an answer too."""
    parse: TypeAdapter[Call] = TypeAdapter(Call)
    session: Session | None = None
    while line := calls.readline():
        answer: Answer
        try:
            call = parse.validate_json(line)
            if isinstance(call, Load):
                session = load(call)
                answer = Ready()
            elif session is None:
                raise ValueError("measure before load")
            else:
                answer = measure(session, call)
        except Exception as error:
            answer = Fault(error=error_event(error))
        answers.write(answer.model_dump_json() + "\n")
        answers.flush()


def _die_with_parent() -> None:
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main() -> None:
    """Serve on stdin and the real stdout; what libraries print goes to stderr instead."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
