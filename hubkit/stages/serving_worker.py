"""The process that holds instances of one engine for the load: JSON calls in, answers out, a line
each. It holds no server: clients and instances are in one process, and nothing else is."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

from pydantic import Field, TypeAdapter

from hubkit.executors.worker import error_event
from hubkit.formats_records import Engine, Level, ServingConfig, ServingPlan
from hubkit.records import Record, Variant
from hubkit.serving.arrivals import arrivals, open_plan
from hubkit.serving.load_pool import closed_loop, open_loop
from hubkit.serving.pool import Pool
from hubkit.serving.probing import Facts, probe
from hubkit.serving.windows import Meter, level_of
from hubkit.serving.workload import Sentences, mean_tokens, requests
from hubkit.stages.benchmark_worker import Fault

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs, Model


class Load(Record):
    """The model to hold and how; a later one with the same instances keeps them. `sentences`: the
    path of encoded.npz."""

    kind: Literal["load"] = "load"
    engine: Engine
    variant: Variant
    folder: str
    sentences: str
    pad_id: int
    plan: ServingPlan
    config: ServingConfig


class RunLevel(Record):
    """Measure one level: so many clients, or so many requests a second."""

    kind: Literal["level"] = "level"
    concurrency: int | None = None
    rate_per_s: float | None = None


class Ready(Record):
    """The model is loaded. `mean_tokens`: of a sentence of the requests."""

    kind: Literal["ready"] = "ready"
    mean_tokens: float


class Done(Record):
    kind: Literal["done"] = "done"
    level: Level


Call = Annotated[Load | RunLevel, Field(discriminator="kind")]
Answer = Annotated[Ready | Done | Fault, Field(discriminator="kind")]


class Held:
    """What the process holds: instances, their pool, and the requests for them."""

    def __init__(self) -> None:
        self._models: list[Model] = []
        self._loaded: tuple[object, ...] = ()
        self._facts: Facts | None = None
        self._pool: Pool | None = None
        self._requests: list[Inputs] = []
        self._plan = ServingPlan()

    def load(self, call: Load) -> Ready:
        """Make the instances and their pool."""
        if self._pool is not None:
            self._pool.close()
        wanted = (call.engine, call.folder, call.config.instances, call.config.threads)
        if wanted != self._loaded:
            self._free()
            self._models = load_instances(
                call.engine, Path(call.folder), call.variant.model_file, call.config
            )
            self._loaded = wanted
        self._plan = call.plan
        made = requests(read_sentences(Path(call.sentences), call.pad_id), call.plan)
        names = self._models[0].input_names
        self._requests = [{name: one[name] for name in names} for one in made]
        if self._facts is None:
            longest = max(one["input_ids"].shape[1] for one in made)  # that the model surely takes
            self._facts = probe(self._models[0], int(made[0]["input_ids"][0, 0]), longest)
        self._pool = pool_of(self._models, call.config, self._facts, call.pad_id)
        gc.collect()
        gc.freeze()  # what loading made is never garbage: collecting need not look at it again
        return Ready(mean_tokens=mean_tokens(made))

    def level(self, call: RunLevel) -> Done:
        """Measure a level."""
        if self._pool is None:
            raise ValueError("level before load")
        rate = call.rate_per_s
        plan = self._plan if rate is None else open_plan(self._plan, rate)
        meter = Meter(plan, time.process_time)
        gc.collect()
        gc.disable()
        try:
            if rate is None:
                assert call.concurrency is not None
                closed_loop(self._pool, self._requests, call.concurrency, meter)
            else:
                open_loop(self._pool, self._requests, arrivals(self._plan, rate), meter)
        finally:
            gc.enable()
        from hubkit.stages.benchmark_worker import peak_rss_mb

        level = level_of(
            meter.windows,
            batch_size=self._plan.batch_size,
            concurrency=call.concurrency,
            rate_per_s=call.rate_per_s,
            peak_rss_mb=peak_rss_mb(),
        )
        return Done(level=level)

    def _free(self) -> None:
        for model in self._models:
            model.close()
        self._models, self._facts = [], None


def load_instances(
    engine: Engine, folder: Path, model_file: str, config: ServingConfig
) -> list[Model]:
    """`config.instances` sessions of an engine, each with `config.threads`."""
    from hubkit.backends.engines import load_engine

    return [
        load_engine(engine, folder, model_file, threads=config.threads)
        for _ in range(config.instances)
    ]


def pool_of(
    models: list[Model], config: ServingConfig, facts: Facts, pad_id: int, max_queue: int = 1 << 30
) -> Pool:
    """The pool that a configuration asks for."""
    return Pool(
        models,
        max_batch=config.max_batch,
        max_delay_us=config.max_delay_us,
        max_queue=max_queue,
        padding={"input_ids": pad_id} if "attention_mask" in models[0].input_names else None,
        length_axes=facts.length_axes,
        spare_tokens=facts.call_tokens,
    )


def read_sentences(path: Path, pad_id: int) -> Sentences:
    """The token ids of an encoded.npz."""
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        types = file["token_type_ids"] if "token_type_ids" in file.files else None
        return Sentences(file["offsets"], file["input_ids"], types, pad_id)


def serve(calls: TextIO, answers: TextIO) -> None:
    """Answer calls until `calls` ends; an exception is an answer too."""
    parse: TypeAdapter[Call] = TypeAdapter(Call)
    held = Held()
    while line := calls.readline():
        answer: Answer
        try:
            call = parse.validate_json(line)
            answer = held.load(call) if isinstance(call, Load) else held.level(call)
        except Exception as error:
            answer = Fault(error=error_event(error))
        answers.write(answer.model_dump_json() + "\n")
        answers.flush()


def die_with_parent() -> None:
    """End in the moment the parent does, on Linux."""
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def main(serving: Callable[[TextIO, TextIO], None] = serve) -> None:
    """Serve on stdin and the real stdout; what libraries print goes to stderr instead."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serving(sys.stdin, answers)
