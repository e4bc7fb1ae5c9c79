"""What a report on formats measures beside serving: engines, cost, roofline, divergence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from hubkit.backends.engines import engines_of
from hubkit.backends.gpu import find_gpu
from hubkit.errors import ModelError, UsageError
from hubkit.formats_records import (
    BatchCurve,
    Cost,
    Divergence,
    Engine,
    Invariance,
    NoiseFloor,
    Peaks,
    Roofline,
)
from hubkit.formats_variants import Compared
from hubkit.machine import default_threads
from hubkit.nearest import did_you_mean
from hubkit.records import Failed, MachineInfo, Variant
from hubkit.roofline import batch_curve as curve_of
from hubkit.roofline import rooflines
from hubkit.runner import Runner
from hubkit.stages.batch_curve import BatchCurveInput, batch_curve
from hubkit.stages.cost import CostInput, cost
from hubkit.stages.diverge import Diverged, DivergeInput, diverge
from hubkit.stages.peaks import PeaksInput, peaks
from hubkit.stages.vectors import Vectors, VectorsInput, vectors

# What two FP32 runs of one model differ by at least, of the size of a vector: float32's epsilon.
_LEAST_NOISE = 2.0**-23
_TIMES_NOISE = 10
_SECOND = "torch-cpu-fp32"  # runs FP32 beside the reference, so that the noise is known
# Tokens of a sentence in costs and batch curves: that of the rows, as a multiple of this.
_LENGTH_STEP = 8


@dataclass(frozen=True)
class FormatsMeasured:
    """What `measure_formats` gives, as the fields of FormatsReport."""

    engines: tuple[Engine, ...]
    cost: Cost | None
    peaks: Peaks
    rooflines: tuple[Roofline, ...]
    curves: tuple[BatchCurve, ...]
    reference: str
    noise: tuple[NoiseFloor, ...]
    divergences: tuple[Divergence, ...]
    invariances: tuple[Invariance, ...]
    failures: tuple[Failed, ...]


def measure_formats(
    run: Runner,
    metric: str,
    compared: Compared,
    machine: MachineInfo,
    patterns: Sequence[str] = (),
) -> FormatsMeasured:
    """Everything but serving, of the engines whose names fit one of `patterns` (none: of all);
    `metric`: the task's, that the compared rows are scored by.

    The reference is always run for the divergence of the others, and PyTorch FP32 for the noise,
    chosen or not. An engine that fails is among the failures, and the others go on; so is a graph
    that cannot be counted, and peaks that cannot be measured. Raises ModelError where FP32 in ONNX
    does not run: there is nothing to compare with.
    """
    every = engines_of(compared.variants, machine)
    engines = chosen_engines(every, patterns)
    reference = every[0]
    if reference.variant is None:
        raise _no_reference(compared.failures)
    found = _Work(run, metric, compared, machine)
    costs, uncounted = found.cost(reference)
    divergences, invariances, noise, failed = found.divergences(
        engines, (reference, *(e for e in every if e.name == _SECOND))
    )
    run.close()  # the workers' memory and threads would disturb what is timed
    most, unknown = found.peaks()
    curves, more = found.curves(engines, costs, most)
    return FormatsMeasured(
        engines=engines,
        cost=costs,
        peaks=most,
        rooflines=rooflines(costs, most) if costs else (),
        curves=curves,
        reference=reference.name,
        noise=noise,
        divergences=divergences,
        invariances=invariances,
        failures=(*uncounted, *failed, *unknown, *more),
    )


def _no_reference(failures: Sequence[Failed]) -> ModelError:
    """Of a model without FP32 in ONNX that runs."""
    why = [f"{one.subject}: {one.reason}" for one in failures if "fp32" in one.subject]
    return ModelError(
        f"there is no FP32 model in ONNX to compare with ({'; '.join(why) or 'none was made'})"
    )


def chosen_engines(engines: Sequence[Engine], patterns: Sequence[str]) -> tuple[Engine, ...]:
    """Those of the patterns; all of them where there is none. Raises UsageError for a pattern that
    fits no engine."""
    names = [one.name for one in engines]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise UsageError(
                f"--engine {pattern}: no engine of that name{did_you_mean(pattern, names)}",
                hint=f"There are {', '.join(names)}.",
            )
    fits = [one for one in engines if any(fnmatchcase(one.name, p) for p in patterns)]
    return tuple(fits if patterns else engines)


@dataclass(frozen=True)
class _Work:
    run: Runner
    metric: str
    compared: Compared
    machine: MachineInfo

    @property
    def threads(self) -> int:
        return default_threads(self.machine)

    @property
    def gpu(self) -> str | None:
        gpu = find_gpu()
        return gpu.name if gpu else None

    @property
    def length(self) -> int:
        """Tokens of a sentence as the rows have them, so that what is counted is what is served."""
        material = self.compared.material
        tokens = max(2, round(material.evaluation.mean_tokens))
        length = -(-tokens // _LENGTH_STEP) * _LENGTH_STEP
        return max(2, min(length, material.base.max_positions))

    def variant(self, engine: Engine) -> Variant:
        return self.compared.variant(engine.variant or "")

    def cost(self, reference: Engine) -> tuple[Cost | None, tuple[Failed, ...]]:
        given = CostInput(variant=self.variant(reference), input_length=self.length)
        found, failed = self.run.try_map(cost, [(given, reference.name, "onnx")])
        return next(iter(found), None), tuple(failed)

    def peaks(self) -> tuple[Peaks, tuple[Failed, ...]]:
        given = PeaksInput(machine=self.machine, threads=self.threads, gpu=self.gpu)
        found, failed = self.run.try_map(peaks, [(given, "cpu", "")])
        nothing = Peaks(machine=self.machine, threads=self.threads, peaks=(), bandwidths=())
        return next(iter(found), nothing), tuple(failed)

    def curves(
        self, engines: Sequence[Engine], costs: Cost | None, most: Peaks
    ) -> tuple[tuple[BatchCurve, ...], tuple[Failed, ...]]:
        able = {one.name: one for one in engines if one.missing is None and one.served}
        calls = [
            (
                BatchCurveInput(
                    engine=engine,
                    variant=self.variant(engine),
                    input_length=self.length,
                    threads=self.threads,
                    machine=self.machine,
                    gpu=self.gpu if engine.device == "cuda" else None,
                ),
                engine.name,
                "",
            )
            for engine in able.values()
        ]
        measured, failed = self.run.try_map(batch_curve, calls)
        curves = []
        for one in measured:
            points = [(time.batch_size, time.mean_ms) for time in one.times]
            engine, length = able[one.engine], one.input_length
            curves.append(curve_of(engine, points, costs, most, one.threads, length))
        return tuple(curves), tuple(failed)

    def divergences(
        self, engines: Sequence[Engine], yardsticks: Sequence[Engine]
    ) -> tuple[
        tuple[Divergence, ...],
        tuple[Invariance, ...],
        tuple[NoiseFloor, ...],
        tuple[Failed, ...],
    ]:
        """The divergences and invariances of these engines from the first yardstick, and its own;
        what FP32 differs by from itself, in the yardsticks too; and what failed. Raises ModelError
        where the first yardstick did."""
        reference = yardsticks[0]
        able = {e.name: e for e in (*yardsticks, *engines) if e.missing is None}
        calls = [(self._vectors_input(e), e.name, _LANES[e.runtime]) for e in able.values()]
        other = 1 if self.threads > 1 else 2
        again = self._vectors_input(reference, threads=other, invariance=False)
        words = f"{reference.name} {other} thread"
        ran, failed = self.run.try_map(vectors, [*calls, (again, words, _LANES[reference.runtime])])
        full = {one.engine: one for one in ran if one.threads == self.threads}
        theirs = full.get(reference.name)
        if theirs is None:
            raise _no_reference(failed)
        compared, more = self.run.try_map(
            diverge,
            [(self._diverge_input(one, theirs), one.engine, "main") for one in full.values()],
        )
        noise = [
            *self._threads_noise([one for one in ran if one.threads == other], theirs),
            *_runtime_noise(compared, able.values(), reference),
        ]
        limit = _TIMES_NOISE * max([_LEAST_NOISE, *(n.distance.max_relative for n in noise)])
        shown = {reference.name, *(one.name for one in engines)}
        asked = [one for one in compared if one.divergence.engine in shown]
        return (
            tuple(one.divergence for one in asked),
            tuple(
                _judged(one.invariance, limit if noise else None)
                for one in asked
                if one.invariance is not None
            ),
            tuple(noise),
            (*failed, *more),
        )

    def _threads_noise(self, again: Sequence[Vectors], theirs: Vectors) -> list[NoiseFloor]:
        if not again:
            return []
        given = self._diverge_input(again[0], theirs)
        found = self.run.run(diverge, given, subject=f"{theirs.engine} {again[0].threads} thread")
        what = f"{again[0].threads} thread against {theirs.threads}"
        return [NoiseFloor(what=what, distance=found.divergence.distance)]

    def _vectors_input(
        self, engine: Engine, threads: int | None = None, *, invariance: bool = True
    ) -> VectorsInput:
        material = self.compared.material
        return VectorsInput(
            engine=engine,
            variant=self.variant(engine),
            encoded=material.evaluation,
            threads=threads or self.threads,
            where=f"{self.machine.fingerprint} {self.gpu or ''}".strip(),
            max_positions=material.base.max_positions,
            invariance=invariance,
        )

    def _diverge_input(self, ours: Vectors, reference: Vectors) -> DivergeInput:
        material = self.compared.material
        return DivergeInput(
            ours=ours,
            reference=reference,
            encoded=material.evaluation,
            dataset=material.dataset,
            labels=material.base.labels,
            metric=self.metric,
        )


_LANES = {
    "onnxruntime": "onnx",
    "torch": "pytorch",
    "torch-compile": "pytorch",
    "openvino": "openvino",
}


def _runtime_noise(
    compared: Sequence[Diverged], engines: Iterable[Engine], reference: Engine
) -> list[NoiseFloor]:
    """FP32 of the other runtimes on the CPU against the reference."""
    fp32 = {e.name for e in engines if e.precision == "fp32" and e.device == "cpu"}
    return [
        NoiseFloor(
            what=f"{one.divergence.engine} against {reference.name}",
            distance=one.divergence.distance,
        )
        for one in compared
        if one.divergence.engine in fp32 - {reference.name}
    ]


def _judged(found: Invariance, limit: float | None) -> Invariance:
    """With whether both distances are within the limit."""
    if limit is None:
        return found
    worst = max(found.batched.max_relative, found.padded.max_relative)
    return found.model_copy(update={"holds": worst <= limit})
