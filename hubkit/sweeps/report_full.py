"""The full and the pruned model in one table: each as FP32 and in every INT8 configuration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from hubkit.build_records import Projected
from hubkit.cards import numbers
from hubkit.records import BaseModelInfo, Finetuned, Pruned, Scores, TimingPoint, Variant
from hubkit.sweep_records import FullModel, SweepRow
from hubkit.sweeps.report_cells import FAILED, Cell, Code, Column, Table, text
from hubkit.sweeps.report_parameters import NOTHING
from hubkit.sweeps.report_view import Point, View

_WORDS = {"pytorch": "PyTorch FP32", "onnx": "ONNX FP32"}


@dataclass(frozen=True)
class _Line:
    """A model of the table. `said`: what it is, but for full or pruned; `variant` None: it could
    not be made."""

    is_full: bool
    said: str
    variant: Variant | None

    @property
    def kind(self) -> str:
        return "full" if self.is_full else "pruned"


@dataclass(frozen=True)
class _Both:
    """The two models of a sweep, and what was measured of them."""

    view: View
    full: FullModel
    pruned: Pruned

    @cached_property
    def lines(self) -> tuple[_Line, ...]:
        """FP32 of both, then INT8 of both, configuration after configuration."""
        report = self.view.report
        fp32 = [
            *(_Line(True, _baseline(v), v) for v in self.full.baselines),
            *(_Line(False, _baseline(v), v) for v in report.baselines),
        ]
        int8 = [
            *(_Line(True, self._configuration(row), row.variant) for row in self._own(True)),
            *(_Line(False, self._configuration(row), row.variant) for row in self._own(False)),
        ]
        return (*fp32, *int8)

    def _own(self, is_full: bool) -> Iterable[SweepRow]:
        """Configurations that were measured themselves, or failed."""
        rows = self.full.rows if is_full else self.view.report.rows
        return (row for row in rows if row.same_as is None)

    def _configuration(self, row: SweepRow) -> str:
        label = self.view.labels.get(row.spec.name, row.spec.name)
        return f"INT8 {label}"

    def base_of(self, line: _Line) -> BaseModelInfo:
        return self.full.base if line.is_full else self.view.report.base

    def layers_of(self, line: _Line) -> int:
        return self.pruned.layers_before if line.is_full else len(self.pruned.layers_kept)

    def scores_of(self, line: _Line) -> Scores | None:
        return self.full.scores_of(line.variant.name) if line.variant else None

    def at(self, variant: Variant | None, point: Point) -> TimingPoint | None:
        timing = self.view.report.timing_of(variant.name) if variant else None
        points = timing.points if timing else ()
        return next((p for p in points if (p.batch_size, p.input_length) == point), None)

    @property
    def reference(self) -> Variant | None:
        """What speed is compared with: ONNX FP32 of the full model, the runtime of INT8."""
        return next((v for v in self.full.baselines if v.format == "onnx"), None)


def _baseline(variant: Variant) -> str:
    said = _WORDS.get(variant.format, variant.format)
    return said if variant.name.endswith("-fp32") else f"{said} ({variant.name})"


def full_and_pruned(view: View) -> Table | None:
    """Layers, size, the main metric with its interval, latency and speed-up, the paired test with
    full FP32, and parameters; None where the sweep has no full model."""
    report = view.report
    pruned = report.lock.built.pruned if report.lock.built else None
    if report.full is None or pruned is None:
        return None
    both = _Both(view, report.full, pruned)
    interval, metric = numbers.percent(view.confidence), view.main_metric or "metric"
    columns = (
        Column("model"),
        *_right("layers", "size (MB)", f"{metric} ({interval} CI)", "flips"),
        *_right(*(f"ms at {batch}×{length}" for batch, length in view.grid)),
        *_right(f"loss of {metric} ({interval} CI)", "McNemar's p", "parameters"),
    )
    return Table(columns, tuple(_cells(both, line) for line in both.lines))


def _right(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, "right") for title in titles)


def _cells(both: _Both, line: _Line) -> tuple[Cell, ...]:
    view, base = both.view, both.base_of(line)
    size = numbers.megabytes(line.variant.size_bytes) if line.variant else FAILED
    value, flips, loss, p = _scored(both, line)
    cells = (
        f"{line.kind} {line.said}",
        numbers.count(both.layers_of(line)),
        size,
        value,
        flips,
        *(_time(both, line, point) for point in view.grid),
        loss,
        p,
        numbers.count(base.num_parameters),
    )
    return tuple(map(text, cells))


def _scored(both: _Both, line: _Line) -> tuple[str, str, str, str]:
    scores, wanted = both.scores_of(line), both.view.main_metric
    metric = next((m for m in scores.metrics if m.name == wanted), None) if scores else None
    low, high = (metric.interval.low, metric.interval.high) if metric else (0.0, 0.0)
    value = (
        f"{numbers.score(metric.value)} ({numbers.score(low)}–{numbers.score(high)})"
        if metric
        else (FAILED if line.variant is None else numbers.NOT_MEASURED)
    )
    paired = scores.paired if scores else None
    if paired is None:
        return (value, NOTHING, NOTHING, NOTHING)
    loss = f"{numbers.signed(paired.loss)} ({numbers.difference(paired.loss_interval)})"
    return (value, numbers.count(paired.flips), loss, numbers.probability(paired.mcnemar_p))


def _time(both: _Both, line: _Line, point: Point) -> str:
    """Mean latency, and how many times as fast as ONNX FP32 of the full model; ≈ marks what is
    within the noise floor."""
    mine, theirs = both.at(line.variant, point), both.at(both.reference, point)
    if mine is None:
        return NOTHING if line.variant is None else numbers.NOT_MEASURED
    said = numbers.milliseconds(mine.mean_ms)
    if theirs is None or line.variant == both.reference:
        return said
    noise = both.view.noise_at(point)
    near = noise is not None and abs(mine.mean_ms / theirs.mean_ms - 1) <= noise.relative
    return f"{said} ({numbers.ratio(theirs.mean_ms / mine.mean_ms)}{' ≈' if near else ''})"


def said_of_base(view: View) -> tuple[Cell, ...]:
    """What was done to the base, a sentence each; and how the full model differs in it."""
    built, full = view.report.lock.built, view.report.full
    found: list[Cell] = []
    if built and built.pruned:
        kept = ", ".join(map(str, built.pruned.layers_kept))
        found.append(
            (f"Of {built.pruned.layers_before} layers these were kept, counted from 0: {kept}.",)
        )
    if built and built.finetuned:
        found.append(_trained(view, built.finetuned))
    if full is not None:
        same = "was fine-tuned by the same settings" if full.built else "is the base as it is"
        found.append((f" The full model {same}.",))
    if built and built.projected:
        found.append(_projected(built.projected))
    return tuple(found)


def _projected(done: Projected) -> Cell:
    return (
        f" A linear layer makes {done.dimensions} numbers of the {done.width} of an embedding"
        f" ({done.pooling} pooling): the principal components of {numbers.count(done.rows)} rows of"
        " the split ",
        Code(done.split),
        f", which hold {numbers.percent(done.explained_variance)} of their variance.",
    )


def _trained(view: View, done: Finetuned) -> Cell:
    head = "a new head" if done.head == "new" else "its own head"
    left = done.overlapping + done.unusable
    out = f" ({numbers.count(left)} of the split were left out)" if left else ""
    return (
        f" Fine-tuned with {head} on {numbers.count(done.rows)} rows of the split ",
        Code(done.split),
        f"{out}: {_many(done.epochs, 'epoch')}, learning rate {done.learning_rate:g}, batches of"
        f" {done.batch_size}, at most {done.max_length} tokens, warm-up over"
        f" {done.warmup_ratio:g} of the steps, weight decay {done.weight_decay:g}, seed"
        f" {done.seed}.",
    )


def _many(number: int, word: str) -> str:
    return f"{numbers.count(number)} {word}{'' if number == 1 else 's'}"
