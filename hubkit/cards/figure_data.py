"""The numbers of a card's figures as they are handed to the drawing and to the templates.

Every number is one of the report's own, unrounded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hubkit.analysis_records import SliceKind
from hubkit.records import Format, Precision


@dataclass(frozen=True)
class Model:
    """A model as a figure marks it: its label in the card's tables, format and precision."""

    label: str
    format: Format
    precision: Precision


@dataclass(frozen=True)
class ModelPoint:
    """A model's gate metric with its interval, and its median latency."""

    model: Model
    value: float
    low: float
    high: float
    p50_ms: float


@dataclass(frozen=True)
class AccuracyLatency:
    """The gate's metric against the median latency at one point of the benchmark's grid."""

    metric: str
    confidence: float
    batch_size: int
    input_length: int
    points: tuple[ModelPoint, ...]
    key: Literal["accuracy-latency"] = "accuracy-latency"


@dataclass(frozen=True)
class LatencyPoint:
    batch_size: int
    input_length: int
    p50_ms: float


@dataclass(frozen=True)
class LatencyLine:
    """A model's median latency wherever it was timed."""

    model: Model
    points: tuple[LatencyPoint, ...]


@dataclass(frozen=True)
class Latency:
    """Median latency by input length and batch size."""

    batch_sizes: tuple[int, ...]
    input_lengths: tuple[int, ...]
    lines: tuple[LatencyLine, ...]
    key: Literal["latency"] = "latency"


@dataclass(frozen=True)
class SizeBar:
    model: Model
    size_bytes: int


@dataclass(frozen=True)
class Sizes:
    """The size of each weights file."""

    bars: tuple[SizeBar, ...]
    key: Literal["size"] = "size"


@dataclass(frozen=True)
class BinPoint:
    """The answers whose probability is in (low, high]; a bin without any is left out."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class ReliabilityPanel:
    """How far a model's probabilities can be believed, with its expected calibration error."""

    model: Model
    units: int
    ece: float
    ece_low: float
    ece_high: float
    bins: tuple[BinPoint, ...]


@dataclass(frozen=True)
class ReliabilityDiagram:
    """Published models, then the FP32 model that they are compared with."""

    panels: tuple[ReliabilityPanel, ...]
    key: Literal["reliability"] = "reliability"


@dataclass(frozen=True)
class Drop:
    """How much of a metric a model has lost against FP32; below 0 it has gained."""

    model: Model
    loss: float
    low: float
    high: float


@dataclass(frozen=True)
class SliceDrops:
    """What each published model lost on some rows, of `metric`: the gate's, or accuracy where that
    has no meaning.

    `number`: place in `Report.analyses.slices`, from 1; 0: all rows. `label`: what the figure
    writes for its name.
    """

    number: int
    name: str
    label: str
    kind: SliceKind | Literal["all"]
    definition: str
    rows: int
    metric: str
    drops: tuple[Drop, ...]


@dataclass(frozen=True)
class Slices:
    """The drop on all rows and on slices: of more than 14, those where the largest drop is.

    `metric`: the gate's, of all rows. `measured`: how many slices have a drop, drawn or not.
    """

    metric: str
    confidence: float
    measured: int
    whole: SliceDrops | None
    slices: tuple[SliceDrops, ...]
    key: Literal["slices"] = "slices"


FigureData = AccuracyLatency | Latency | Sizes | ReliabilityDiagram | Slices
