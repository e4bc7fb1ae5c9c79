"""The report on formats and serving as far as a card shows it; formats.json is the whole."""

from __future__ import annotations

from typing import Literal

from hubkit.record_base import Record


class PartSummary(Record):
    """A part of the model, FP32: `memory_bound` as in `Roofline`; None: not known."""

    part: Literal["embeddings", "backbone", "head"]
    flops: int
    parameters: int
    memory_bound: Literal["always", "never", "up-to"] | None = None
    memory_bound_up_to: int | None = None


class EngineSummary(Record):
    """An engine that was measured. None: not measured, or the reference itself. `best_*`: at the
    number of clients with the most sentences a second; `one_mean_ms`: of one client alone;
    `steady`: whether its outputs depend neither on the batch nor on padding; `stable`,
    `one_stable`: of these two levels."""

    engine: str
    label: str
    is_reference: bool = False
    mean_abs: float | None = None
    max_abs: float | None = None
    min_cosine: float | None = None
    flips: int | None = None
    steady: bool | None = None
    best_per_s: float | None = None
    best_clients: int | None = None
    best_p50_ms: float | None = None
    best_p99_ms: float | None = None
    one_mean_ms: float | None = None
    stable: bool = True
    one_stable: bool = True


class FormatsSummary(Record):
    """Cost by part, and each engine's divergence and serving. `missing`: engines that this machine
    lacks. `where`: how the load came to them. `flops`: None where the graph could not be counted,
    which `uncounted` says why; there are no parts then. `gpu`: that engines ran on."""

    input_length: int | None = None
    flops: int | None = None
    counter: str = ""
    uncounted: str = ""
    gpu: str | None = None
    parts: tuple[PartSummary, ...] = ()
    reference: str
    noise_floor: float | None = None
    where: Literal["in-process", "kserve-v2"] | None = None
    engines: tuple[EngineSummary, ...]
    missing: int = 0
    partial: bool = False
