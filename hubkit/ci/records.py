"""What `hubkit ci` writes and compares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hubkit.record_base import Interval, Record

OUTCOME_FILE, BUNDLE = "outcome.json", "bundle"


class Outcome(Record):
    """outcome.json: what a rehearsal came to. `exit_code` 3: a gate of the recipe is not met."""

    schema_version: Annotated[Literal[1], Field(alias="schema")] = 1
    recipe: str  # its name, or the path that was given where it could not be read
    exit_code: int
    message: str = ""
    hint: str = ""
    pushed: bool = False  # to the embedded Hub, and verified there


class LatencyFact(Record):
    """The median at one point of the grid, and the spread of the rounds' means."""

    batch_size: int
    input_length: int
    p50_ms: float
    lowest_ms: float
    highest_ms: float


class VariantFacts(Record):
    """One model as one side measured it. `value`: of the gate's metric. `flips`: predictions that
    differ from FP32's, of `rows`."""

    label: str
    value: float | None
    interval: Interval | None
    flips: int | None
    rows: int | None
    size_bytes: int
    latency: tuple[LatencyFact, ...] = ()
    selected: bool = False


class VariantPair(Record):
    """A model on both sides. None: it is not there."""

    variant: str
    base: VariantFacts | None
    new: VariantFacts | None


class InputChange(Record):
    """Something that went into the results and is not what it was. None: it was not there."""

    what: str
    base: str | None
    new: str | None


class CardChange(Record):
    """How a card changes: the lines of a unified diff."""

    path: str
    lines: tuple[str, ...]


class Gate(Record):
    """What the recipe's gate says of the new side. `reasons`: of each variant, in words."""

    passes: bool
    selected: str | None = None
    message: str = ""
    reasons: tuple[tuple[str, str], ...] = ()


class Comparison(Record):
    """Two results side by side. `base_missing`, `new_missing`: why there are none.

    `same_rows`: both were scored on the same rows, so that accuracy can be compared.
    `same_machine`: both were timed on the same machine, so that latency can.
    """

    name: str
    metric: str | None
    gate: Gate
    variants: tuple[VariantPair, ...] = ()
    inputs: tuple[InputChange, ...] = ()
    cards: tuple[CardChange, ...] = ()
    same_rows: bool = True
    same_machine: bool = True
    base_missing: str | None = None
    new_missing: str | None = None
    pushed: bool = False
