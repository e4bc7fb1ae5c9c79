"""The tables of the reports: the reference's two, and those that go beyond it."""

from __future__ import annotations

from collections.abc import Iterable

from hubkit.cards import numbers
from hubkit.records import Metric, Variant
from hubkit.sweep_records import NoisePoint, SweepRow
from hubkit.sweeps.report_cells import (
    FAILED,
    Cell,
    Code,
    Column,
    Table,
    code,
    kept_by_pattern,
    mask_guard,
    model_names,
    outcome,
    parameter_cells,
    parameter_columns,
    size_ratio,
    speedup,
    text,
)
from hubkit.sweeps.report_parameters import NOTHING
from hubkit.sweeps.report_view import Model, Point, View

_BAR = Column("", "center", bar=True)


def non_time(view: View) -> Table:
    """The reference's table of metrics: each parameter, then each metric original and optimized."""
    columns = list(_leading(view))
    for name in view.metrics:
        columns += [_BAR, *_pair(name, "")]
    rows = []
    for row in view.report.rows:
        cells = list(_leading_cells(view, row))
        for name in view.metrics:
            cells += [(), text(_metric(view.original, name)), text(_optimized(view, row, name))]
        rows.append(tuple(cells))
    return Table(tuple(columns), tuple(rows))


def time(view: View, point: Point) -> Table:
    """The reference's table of times at one batch size and input length."""
    columns = (
        *_leading(view),
        *(_BAR, *_pair("latency_mean", ", ms")),
        *(_BAR, *_pair("throughput", ", /s")),
    )
    rows = []
    for row in view.report.rows:
        latency = _latency(view.original, point), _latency(view.model_of(row), point, row)
        rate = _throughput(view.original, point), _throughput(view.model_of(row), point, row)
        pairs = ((), *map(text, latency), (), *map(text, rate))
        rows.append((*_leading_cells(view, row), *pairs))
    return Table(columns, tuple(rows))


def _pair(name: str, unit: str) -> tuple[Column, Column]:
    return (
        Column(f"{name} (original{unit})", "center"),
        Column(f"{name} (optimized{unit})", "center"),
    )


def _leading(view: View) -> tuple[Column, ...]:
    # With nothing benchmarked a name still says which line is which.
    return parameter_columns(view.benchmarked, "center") or (Column("configuration", "center"),)


def _leading_cells(view: View, row: SweepRow) -> tuple[Cell, ...]:
    return parameter_cells(view, row) or (text(view.labels[row.name]),)


def _metric(model: Model | None, name: str) -> str:
    metric = model.metric(name) if model else None
    return f"{metric.value:.3f}" if metric else numbers.NOT_MEASURED


def _optimized(view: View, row: SweepRow, name: str) -> str:
    return FAILED if row.failed else _metric(view.model_of(row), name)


def _latency(model: Model | None, point: Point, row: SweepRow | None = None) -> str:
    timing = model.at(point) if model else None
    return f"{timing.mean_ms:.2f}" if timing else _missing(row)


def _throughput(model: Model | None, point: Point, row: SweepRow | None = None) -> str:
    timing = model.at(point) if model else None
    return f"{timing.throughput_per_s:.2f}" if timing else _missing(row)


def _missing(row: SweepRow | None) -> str:
    return FAILED if row and row.failed else numbers.NOT_MEASURED


def configurations(view: View) -> Table:
    """Every configuration, as declared, and what became of it."""
    columns = (
        Column("configuration"),
        *parameter_columns(view.benchmarked, "left"),
        Column("outcome"),
        Column("in results.json"),
    )
    rows = (
        (
            text(view.labels[row.name]),
            *parameter_cells(view, row),
            outcome(view, row),
            code(row.name),
        )
        for row in view.report.rows
    )
    return Table(columns, tuple(rows))


def graphs(view: View) -> Table:
    """What each model is on disk, and what of it was quantized."""
    columns = (
        Column("configuration"),
        *_right("size (MB)", "smaller than original", "nodes quantized"),
        Column("nodes kept float, by pattern"),
        Column("mask guard"),
        *_right("calibration rows", "opset", "peak memory (MB)"),
    )
    rows = [_baseline_graph(model) for model in view.baselines]
    rows += [_row_graph(view, row, row.variant) for row in view.report.rows if row.variant]
    return _without_empty(Table(columns, tuple(rows)))


def _right(*titles: str) -> tuple[Column, ...]:
    return tuple(Column(title, "right") for title in titles)


def _baseline_graph(model: Model) -> tuple[Cell, ...]:
    size = numbers.megabytes(model.variant.size_bytes)
    nothing = (NOTHING,) * 5
    cells = (size, *nothing, _opset(model.variant.opset), _memory(model))
    return (code(model.name), *map(text, cells))


def _row_graph(view: View, row: SweepRow, it: Variant) -> tuple[Cell, ...]:
    nodes = NOTHING if it.nodes_quantized is None else numbers.count(it.nodes_quantized)
    calibrated = it.calibration
    return (
        text(view.labels[row.name]),
        text(numbers.megabytes(it.size_bytes)),
        text(size_ratio(it.size_bytes, view.original)),
        text(nodes),
        kept_by_pattern(row),
        text(mask_guard(row)),
        text(numbers.count(calibrated.real_samples) if calibrated else NOTHING),
        text(_opset(it.opset)),
        text(_memory(view.model_of(row))),
    )


def _opset(value: int | None) -> str:
    return NOTHING if value is None else str(value)


def _memory(model: Model | None) -> str:
    peak = model.timing.peak_rss_mb if model and model.timing else None
    return NOTHING if peak is None else f"{peak:,.0f}"


def _without_empty(table: Table) -> Table:
    """Less the columns that say nothing of any model."""
    kept = [i for i in range(len(table.columns)) if any(r[i] != (NOTHING,) for r in table.rows)]
    return Table(
        tuple(table.columns[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in table.rows),
    )


def accuracy(view: View) -> Table:
    """Metrics with their intervals, and what changed row by row against FP32."""
    interval = numbers.percent(view.confidence)
    loss = f"loss of {view.main_metric}" if view.main_metric else "loss"
    columns = (
        Column("configuration"),
        *_right(*(f"{name} ({interval} CI)" for name in view.metrics)),
        *_right("flips", "now right", "now wrong", "McNemar's p", f"{loss} ({interval} CI)"),
        Column("against"),
    )
    rows = tuple(
        (
            model_names(view, model),
            *(text(measured(model.metric(name))) for name in view.metrics),
            *_paired_cells(view, model),
        )
        for model in view.models
    )
    return Table(columns, rows)


def measured(metric: Metric | None) -> str:
    """A metric with its interval, both with four digits: an interval can be narrow."""
    if metric is None:
        return numbers.NOT_MEASURED
    low, high = numbers.score(metric.interval.low), numbers.score(metric.interval.high)
    return f"{numbers.score(metric.value)} ({low}–{high})"


def _paired_cells(view: View, model: Model) -> tuple[Cell, ...]:
    paired = model.paired
    if paired is None:
        is_it = any(m.paired and m.paired.baseline == model.name for m in view.models)
        return (text(NOTHING if is_it or model.is_baseline else numbers.NOT_MEASURED),) * 6
    counts = (paired.flips, paired.now_right, paired.now_wrong)
    return (
        *(text(numbers.count(n)) for n in counts),
        text(numbers.probability(paired.mcnemar_p)),
        text(f"{numbers.signed(paired.loss)} ({numbers.difference(paired.loss_interval)})"),
        (Code(paired.baseline),),
    )


def timings(view: View, point: Point) -> Table:
    """Latency and throughput of every model at a point, and how it stands to both baselines."""
    titles = ("mean (ms)", "p50 (ms)", "p90 (ms)", "p99 (ms)", "sequences/s")
    against = tuple(m for m in (view.original, view.onnx_baseline) if m)
    columns = (
        Column("configuration"),
        *_right(*titles, *(f"times as fast as {m.name}" for m in against)),
    )
    rows = (
        (
            model_names(view, model),
            *map(text, _timing_cells(model, point)),
            *(text(speedup(view, model, baseline, point)) for baseline in against),
        )
        for model in view.models
    )
    return Table(columns, tuple(rows))


def _timing_cells(model: Model, point: Point) -> Iterable[str]:
    it = model.at(point)
    if it is None:
        return (numbers.NOT_MEASURED,) * 5
    latencies = (it.mean_ms, it.p50_ms, it.p90_ms, it.p99_ms)
    return (*map(numbers.milliseconds, latencies), numbers.per_second(it.throughput_per_s))


def noise(view: View) -> Table:
    """The same model against itself, at each point."""
    columns = _right("batch size", "input length", "second over first", "noise floor")
    rows = (
        tuple(
            map(
                text,
                (
                    numbers.count(n.batch_size),
                    numbers.count(n.input_length),
                    f"{n.ratio:.3f}×",
                    floor(n),
                ),
            )
        )
        for n in view.report.noise
    )
    return Table(columns, tuple(rows))


def floor(noise: NoisePoint) -> str:
    """A noise floor as a percentage of two digits: it is not known better."""
    return f"± {noise.relative * 100:.2g} %"


def front(view: View, metric: str, point: Point) -> Table:
    """The models that none beats in both latency and the metric, fastest first."""
    columns = (Column("configuration"), *_right("mean (ms)", f"{metric}", "size (MB)"))
    rows = []
    for model in view.front(metric, point):
        timing = model.at(point)
        cells = (
            numbers.milliseconds(timing.mean_ms if timing else None),
            measured(model.metric(metric)),
            numbers.megabytes(model.variant.size_bytes),
        )
        rows.append((model_names(view, model), *map(text, cells)))
    return Table(columns, tuple(rows))
