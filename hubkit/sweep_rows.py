"""The configurations of a sweep made, put together where they are the same, or failed."""

from __future__ import annotations

from collections.abc import Sequence

from hubkit.preparing import Material
from hubkit.quantizing import (
    CalibrationRows,
    Graphs,
    graph_key,
    learn,
    quantize_input,
    source_of,
)
from hubkit.recipe import Recipe
from hubkit.records import Failed, Variant
from hubkit.runner import Runner
from hubkit.stages.digest import DigestInput, digest
from hubkit.stages.quantize import quantize
from hubkit.sweep_records import OnnxSpec, SweepRow

# Two processes, so that both cores quantize.
_LANES = ("onnx", "onnx-2")


def quantized_rows(
    run: Runner,
    recipe: Recipe,
    material: Material,
    graphs: Graphs,
    specs: Sequence[OnnxSpec],
) -> tuple[SweepRow, ...]:
    """A row for each configuration, with its variant or the reason why there is none."""
    split = recipe.dataset.calibration_split
    sources = {spec.name: source_of(graphs, spec) for spec in specs}
    able = [spec for spec in specs if isinstance(sources[spec.name], Variant)]
    learnt = learn(run, graphs, able, CalibrationRows(material.calibration, split))
    calls = []
    for number, spec in enumerate(able):
        call = quantize_input(material.base, graphs.made[graph_key(spec)], spec, learnt, split)
        calls.append((call, spec.name, _LANES[number % len(_LANES)]))
    made = run.settle(quantize, calls)
    results = {**sources, **{spec.name: one for spec, one in zip(able, made, strict=True)}}
    return tuple(_row(spec, results[spec.name]) for spec in specs)


def _row(spec: OnnxSpec, result: Variant | Failed) -> SweepRow:
    if isinstance(result, Failed):
        return SweepRow(name=spec.name, spec=spec, failed=result)
    return SweepRow(name=spec.name, spec=spec, variant=result)


def grouped(
    run: Runner, graphs: Graphs, rows: Sequence[SweepRow]
) -> tuple[tuple[SweepRow, ...], tuple[Variant, ...]]:
    """The rows with what each is the same as, and the variants that differ: those to measure."""
    variants = [*graphs.made.values(), *(row.variant for row in rows if row.variant)]
    calls = [(DigestInput(variant=v), v.name, "onnx") for v in variants]
    digests = [run.expect(result).digest for result in run.map(digest, calls)]
    first: dict[str, Variant] = {}
    same: dict[str, str] = {}
    for variant, found in zip(variants, digests, strict=True):
        known = first.setdefault(found, variant)
        if known is not variant:
            same[variant.name] = known.name
    grouped = tuple(row.model_copy(update={"same_as": same.get(row.name)}) for row in rows)
    return grouped, tuple(first.values())


def without(rows: Sequence[SweepRow], unscored: Sequence[Failed]) -> tuple[SweepRow, ...]:
    """The rows, those that could not be run with their reason in place of their variant."""
    why = {one.subject: one for one in unscored}
    found = []
    for row in rows:
        failed = why.get(row.same_as or row.name)
        changed = {"variant": None, "failed": failed, "same_as": None} if failed else {}
        found.append(row.model_copy(update=changed))
    return tuple(found)
