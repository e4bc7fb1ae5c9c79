"""The `modelCard` of a CycloneDX component: what the model does, and how well, as measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from hubkit.cards.layout import MODEL_FILES, published_variants
from hubkit.recipe import Recipe
from hubkit.records import Report, Variant

# JSON, as the library's own output is.
Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str"


def model_card(recipe: Recipe, report: Report, dataset: str) -> Json:
    """Task, architecture, data and measured figures of the published variants. `dataset`: the
    bom-ref of what they were measured on. Numbers are text, as the format has them."""
    published = published_variants(recipe, report).values()
    return {
        "modelParameters": {
            "task": recipe.task,
            "architectureFamily": report.base.model_type,
            "modelArchitecture": report.base.architecture,
            "datasets": [{"ref": dataset}],
            "inputs": [{"format": name} for name in report.encoded.input_names],
        },
        "quantitativeAnalysis": {
            "performanceMetrics": [
                metric for one in published for metric in _metrics(one, recipe, report)
            ]
        },
    }


def _metrics(variant: Variant, recipe: Recipe, report: Report) -> Iterator[Json]:
    where = f"{MODEL_FILES[variant.format]}, {recipe.dataset.eval_split}"
    scores, timing = report.scores_of(variant.name), report.timing_of(variant.name)
    for metric in scores.metrics if scores else ():
        interval = {
            "lowerBound": repr(metric.interval.low),
            "upperBound": repr(metric.interval.high),
        }
        yield {
            "type": metric.name,
            "value": repr(metric.value),
            "slice": where,
            "confidenceInterval": interval,
        }
    file = MODEL_FILES[variant.format]
    for point in timing.points if timing else ():
        yield {
            "type": "p50_ms",
            "value": repr(point.p50_ms),
            "slice": f"{file}, batch size {point.batch_size}, {point.input_length} tokens",
        }
    yield {"type": "size_bytes", "value": str(variant.size_bytes), "slice": file}
