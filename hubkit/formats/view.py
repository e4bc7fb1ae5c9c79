"""A report on formats as its pages show it: names, look-ups and groups; nothing is written yet."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

from hubkit.formats_records import (
    BatchCurve,
    BatchPoint,
    Distance,
    Divergence,
    Engine,
    FormatsReport,
    Invariance,
    Level,
    NoiseFloor,
    PartName,
    Roofline,
    ServingCurve,
)

_RUNTIMES = {
    "torch": "PyTorch",
    "torch-compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
_PROVIDERS = {"TensorrtExecutionProvider": "TensorRT", "CUDAExecutionProvider": "CUDA"}
_PRECISIONS = ("fp32", "fp16", "bf16", "int8")
_THREADS = re.compile(r"(\d+) threads? against (\d+)")
# Of the machine's best speed: readings on a quiet machine were seen to vary by 15 %.
SLOWED = 0.8
# As many levels as are read at a glance; longer tables are folded up.
_SHORT = 8


@dataclass(frozen=True)
class PartRow:
    """A part of the model with the rooflines of each precision and device."""

    part: PartName
    rooflines: tuple[Roofline, ...]


@dataclass(frozen=True)
class Noise:
    """FP32 against itself. `threads`: on one number against another; `engines`: in one runtime
    against another; neither: as `what` says."""

    what: str
    distance: Distance
    threads: tuple[int, int] | None = None
    engines: tuple[str, str] | None = None


@dataclass(frozen=True)
class Served:
    """One curve: its closed levels by clients, its open ones by rate."""

    curve: ServingCurve
    label: str
    closed: tuple[Level, ...]
    opened: tuple[Level, ...]

    @property
    def long(self) -> bool:
        return len(self.closed) > _SHORT

    @property
    def unstable(self) -> int:
        return sum(not level.stable for level in (*self.closed, *self.opened))

    @property
    def errors(self) -> int:
        return sum(level.errors for level in (*self.closed, *self.opened))

    @cached_property
    def text(self) -> str:
        """The closed levels in the words of perf_analyzer, as the reference prints them."""
        lines = ["Inferences/Second vs. Client Average Batch Latency"]
        lines += [
            f"Concurrency: {level.concurrency}, throughput: {level.throughput_per_s:.6g} infer/sec,"
            f" latency {level.mean_ms * 1000:.0f} usec"
            for level in self.closed
        ]
        return "\n".join(lines)

    @property
    def at_one(self) -> Level | None:
        """One client alone."""
        return next((level for level in self.closed if level.concurrency == 1), None)

    @property
    def best(self) -> Level | None:
        """The closed level of the highest throughput among the stable ones, if there are any."""
        stable = [level for level in self.closed if level.stable] or list(self.closed)
        return max(stable, key=lambda level: level.throughput_per_s, default=None)


@dataclass(frozen=True)
class View:
    """What the Markdown, the HTML, the plots and the card's summary are made from."""

    report: FormatsReport

    @cached_property
    def labels(self) -> dict[str, str]:
        """What people call each engine: ONNX Runtime CPU INT8; with its variant where two would be
        called the same."""
        plain = {one.name: _label(one) for one in self.report.engines}
        again = {label for label in plain.values() if list(plain.values()).count(label) > 1}
        return {
            one.name: f"{plain[one.name]} ({one.variant or one.name})"
            if plain[one.name] in again
            else plain[one.name]
            for one in self.report.engines
        }

    def label(self, name: str) -> str:
        """An engine's label; of a server that is none of ours its own name."""
        return self.labels.get(name, name)

    def size(self, name: str) -> int | None:
        """Bytes of the weights that an engine reads; None: no file of its own is known."""
        engine = next((one for one in self.report.engines if one.name == name), None)
        sizes = {one.name: one.size_bytes for one in self.report.variants}
        return sizes.get(engine.variant or "") if engine else None

    @cached_property
    def measured(self) -> tuple[Engine, ...]:
        return tuple(one for one in self.report.engines if one.missing is None)

    @cached_property
    def missing(self) -> tuple[Engine, ...]:
        return tuple(one for one in self.report.engines if one.missing is not None)

    @cached_property
    def not_served(self) -> tuple[Engine, ...]:
        return tuple(one for one in self.measured if not one.served)

    @property
    def output_dim(self) -> int | None:
        """Numbers in the model's output for a sentence; None where that is not known."""
        built = self.report.lock.built
        projected = built.projected if built else None
        own = projected.dimensions if projected else len(self.report.base.labels)
        return self.report.output_dim or own or None

    def saturation(self, curve: BatchCurve) -> BatchPoint | None:
        """The point from which a larger batch gains no more; the fastest where none is named."""
        found = (one for one in curve.points if one.batch_size == curve.saturates_at)
        fastest = max(curve.points, key=lambda one: one.throughput_per_s, default=None)
        return next(found, fastest)

    def smallest(self, curve: BatchCurve) -> BatchPoint | None:
        return min(curve.points, key=lambda one: one.batch_size, default=None)

    @cached_property
    def parts(self) -> tuple[PartRow, ...]:
        """The parts in the order of the graph, each with its rooflines, FP32 first."""
        parts = self.report.cost.parts if self.report.cost else ()
        return tuple(PartRow(one.part, self._rooflines(one.part)) for one in parts)

    def _rooflines(self, part: PartName) -> tuple[Roofline, ...]:
        found = [one for one in self.report.rooflines if one.part == part]
        return tuple(sorted(found, key=lambda o: (o.device, _PRECISIONS.index(o.precision))))

    def headline(self, part: PartName) -> Roofline | None:
        """The roofline of a part that is named first: FP32, on the CPU where there is one."""
        return next(iter(self._rooflines(part)), None)

    @cached_property
    def uncounted(self) -> str:
        """Why there is no cost, in technical words; empty where there is one."""
        found = (one.reason for one in self.report.failures if one.stage == "cost")
        return "" if self.report.cost else next(found, "")

    @cached_property
    def noise(self) -> tuple[Noise, ...]:
        """FP32 against itself: by numbers of threads or by runtimes."""
        return tuple(_noise(one) for one in self.report.noise)

    def curve(self, engine: str) -> BatchCurve | None:
        return next((one for one in self.report.curves if one.engine == engine), None)

    def divergence(self, engine: str) -> Divergence | None:
        return next((one for one in self.report.divergences if one.engine == engine), None)

    def invariance(self, engine: str) -> Invariance | None:
        return next((one for one in self.report.invariances if one.engine == engine), None)

    @cached_property
    def divergences(self) -> tuple[Divergence, ...]:
        """The others against the reference, the nearest first."""
        others = [one for one in self.report.divergences if one.engine != self.report.reference]
        return tuple(sorted(others, key=lambda one: (one.distance.mean_abs, one.engine)))

    @property
    def has_kl(self) -> bool:
        return any(one.distance.mean_kl is not None for one in self.report.divergences)

    @property
    def has_flips(self) -> bool:
        return any(one.distance.flips is not None for one in self.report.divergences)

    @property
    def metric(self) -> str | None:
        """The task's metric that the divergences name; None where rows have no references."""
        names = (one.metric.name for one in self.report.divergences if one.metric)
        return next(names, None)

    @cached_property
    def noise_floor(self) -> float | None:
        """The largest mean absolute difference of FP32 from itself; None: not measured."""
        return max((one.distance.mean_abs for one in self.report.noise), default=None)

    @cached_property
    def _fast_machine(self) -> float:
        """The ninth decile of all readings: the highest is one lucky moment's."""
        levels = (level for curve in self.report.serving for level in curve.levels)
        found = sorted(one.machine_gflops for one in levels if one.machine_gflops)
        return found[math.ceil(0.9 * len(found)) - 1] if found else 0.0

    def slowed(self, level: Level) -> float | None:
        """The machine's own speed around a level as a share of its usual best in the report, where
        it was clearly less; None: it was not, or was not taken."""
        if not level.machine_gflops:
            return None
        share = level.machine_gflops / self._fast_machine
        return round(share, 2) if share < SLOWED else None

    @cached_property
    def slowest(self) -> float | None:
        """The least of those shares; None: the machine was as fast all the time."""
        levels = (level for curve in self.report.serving for level in curve.levels)
        return min((share for one in levels if (share := self.slowed(one))), default=None)

    @cached_property
    def served(self) -> tuple[Served, ...]:
        return tuple(self._served(curve) for curve in self.report.serving)

    def _served(self, curve: ServingCurve) -> Served:
        closed = sorted(
            (one for one in curve.levels if one.loop == "closed"),
            key=lambda one: one.concurrency or 0,
        )
        opened = sorted(
            (one for one in curve.levels if one.loop == "open"),
            key=lambda one: one.rate_per_s or 0.0,
        )
        return Served(curve, self.label(curve.engine), tuple(closed), tuple(opened))


def _noise(floor: NoiseFloor) -> Noise:
    threads = _THREADS.fullmatch(floor.what)
    if threads:
        return Noise(floor.what, floor.distance, threads=(int(threads[1]), int(threads[2])))
    one, against, other = floor.what.partition(" against ")
    return Noise(floor.what, floor.distance, engines=(one, other) if against else None)


def _label(engine: Engine) -> str:
    """ONNX Runtime TensorRT FP16, OpenVINO CPU INT8."""
    where = _PROVIDERS.get(engine.provider or "") or engine.device.upper()
    precision = "BEST" if engine.precision == "best" else engine.precision.upper()
    return f"{_RUNTIMES[engine.runtime]} {where} {precision}"
