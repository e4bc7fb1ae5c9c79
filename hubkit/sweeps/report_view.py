"""A sweep as its reports show it: models, points of the grid, and what equals what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from hubkit.records import Metric, Paired, Scores, Timing, TimingPoint, Variant
from hubkit.sweep_records import NoisePoint, SweepReport, SweepRow
from hubkit.sweeps.pareto import pareto
from hubkit.sweeps.report_labels import label
from hubkit.sweeps.report_parameters import Parameter, benchmarked

Point = tuple[int, int]  # batch size, input length

# Of these less is better.
LESS_IS_BETTER = frozenset({"relative_l2"})
# What a sweep is first judged by where its report does not say which metric the gate holds.
_MAIN = {
    "text-classification": "accuracy",
    "token-classification": "f1",
    "question-answering": "f1",
    "feature-extraction": "cosine",
}


@dataclass(frozen=True)
class Model:
    """A graph that was measured once: an FP32 baseline or a configuration.

    `rows`: the configurations that this is, by the digest of their graph.
    """

    name: str
    variant: Variant
    scores: Scores | None
    timing: Timing | None
    rows: tuple[SweepRow, ...]
    is_baseline: bool

    def metric(self, name: str) -> Metric | None:
        """The metric of that name; None where it was not measured."""
        metrics = self.scores.metrics if self.scores else ()
        return next((metric for metric in metrics if metric.name == name), None)

    def at(self, point: Point) -> TimingPoint | None:
        """The timing at a point of the grid; None where it was not measured."""
        points = self.timing.points if self.timing else ()
        return next((p for p in points if (p.batch_size, p.input_length) == point), None)

    @property
    def paired(self) -> Paired | None:
        return self.scores.paired if self.scores else None


@dataclass(frozen=True)
class View:
    """What both reports and the plot are drawn from."""

    report: SweepReport

    @cached_property
    def benchmarked(self) -> tuple[Parameter, ...]:
        return benchmarked(self.report.sweep)

    @cached_property
    def labels(self) -> dict[str, str]:
        """What people call a configuration, by its name."""
        rows = enumerate(self.report.rows, 1)
        return {row.name: label(number, row.spec, self.benchmarked) for number, row in rows}

    def number_of(self, name: str) -> int:
        """The number of a configuration as declared, from 1."""
        return 1 + next(i for i, row in enumerate(self.report.rows) if row.name == name)

    @cached_property
    def models(self) -> tuple[Model, ...]:
        """The baselines, then each configuration that was measured itself, as declared."""
        measured = [r for r in self.report.rows if r.variant is not None and r.same_as is None]
        return (
            *(self._model(v.name, v, is_baseline=True) for v in self.report.baselines),
            *(self._model(r.name, r.variant) for r in measured if r.variant),
        )

    def _model(self, name: str, variant: Variant, *, is_baseline: bool = False) -> Model:
        report = self.report
        shared = [r for r in report.rows if r.failed is None and report.measured_as(r) == name]
        return Model(
            name,
            variant,
            report.scores_of(name),
            report.timing_of(name),
            tuple(shared),
            is_baseline,
        )

    @cached_property
    def _by_name(self) -> dict[str, Model]:
        return {model.name: model for model in self.models}

    def model_of(self, row: SweepRow) -> Model | None:
        """What was measured for a configuration; None where it failed."""
        return None if row.failed else self._by_name.get(self.report.measured_as(row))

    @property
    def original(self) -> Model | None:
        """PyTorch FP32, "original" in the reference's tables."""
        return next((m for m in self.baselines if m.variant.format == "pytorch"), None)

    @property
    def onnx_baseline(self) -> Model | None:
        """ONNX FP32 as the exporter writes it."""
        return next((m for m in self.baselines if m.variant.format == "onnx"), None)

    @property
    def baselines(self) -> tuple[Model, ...]:
        return tuple(model for model in self.models if model.is_baseline)

    def is_baseline(self, name: str) -> bool:
        return any(variant.name == name for variant in self.report.baselines)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics, as declared, then whatever else was measured."""
        found = dict.fromkeys(m.name for s in self.report.scores for m in s.metrics)
        declared = [name for name in self.report.evaluation.metrics if name in found]
        return tuple(dict.fromkeys((*declared, *found)))

    @property
    def main_metric(self) -> str | None:
        """The gate's metric, else the task's first; None where nothing was scored."""
        wanted = (self.report.metric, _MAIN.get(self.report.task), *self.metrics)
        return next((name for name in wanted if name in self.metrics), None)

    @cached_property
    def grid(self) -> tuple[Point, ...]:
        """Batch size and input length of each point, as declared."""
        sweep = self.report.sweep
        points = ((b, n) for b in sweep.batch_sizes for n in sweep.input_lengths)
        return tuple(dict.fromkeys(points)) if self.report.timings else ()

    @property
    def middle(self) -> Point | None:
        """The batch size and the length in the middle; None where nothing was timed."""
        sizes, lengths = sorted({b for b, _ in self.grid}), sorted({n for _, n in self.grid})
        return (sizes[len(sizes) // 2], lengths[len(lengths) // 2]) if self.grid else None

    def noise_at(self, point: Point) -> NoisePoint | None:
        """What the same model differs by between two processes; None where not measured."""
        found = (n for n in self.report.noise if (n.batch_size, n.input_length) == point)
        return next(found, None)

    def speedup(self, model: Model, baseline: Model | None, point: Point) -> float | None:
        """The baseline's mean latency divided by the model's own."""
        mine, theirs = model.at(point), baseline.at(point) if baseline else None
        return theirs.mean_ms / mine.mean_ms if mine and theirs and mine.mean_ms else None

    def within_noise(self, model: Model, baseline: Model | None, point: Point) -> bool:
        """Whether the mean latency differs from the baseline's by no more than the noise floor."""
        mine, theirs = model.at(point), baseline.at(point) if baseline else None
        noise = self.noise_at(point)
        if not (mine and theirs and noise and theirs.mean_ms):
            return False
        return abs(mine.mean_ms / theirs.mean_ms - 1) <= noise.relative

    def front(self, metric: str, point: Point) -> tuple[Model, ...]:
        """The models that none is both at least as fast and as good as, fastest first."""
        sign = -1 if metric in LESS_IS_BETTER else 1
        seen = [
            (model, (timing.mean_ms, sign * score.value))
            for model in self.models
            if (timing := model.at(point)) and (score := model.metric(metric))
        ]
        return tuple(seen[i][0] for i in pareto([place for _, place in seen]))

    @property
    def confidence(self) -> float:
        return self.report.evaluation.confidence

    @property
    def is_whole(self) -> bool:
        """Whether the whole evaluation split was scored."""
        dataset = self.report.dataset
        return not dataset.partial and dataset.eval_rows >= dataset.eval_rows_available
