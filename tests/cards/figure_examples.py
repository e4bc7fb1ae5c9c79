"""Analyses of the small publication of examples.py, made up, of a likely size."""

from __future__ import annotations

from hubkit.analysis_records import Analyses, Reliability, ReliabilityBin, SliceResult
from hubkit.record_base import Interval, Metric, Paired, Scores
from hubkit.records import Report
from tests.cards.examples import make_report

_MODELS = ("pytorch-fp32", "onnx-fp32", "onnx-int8-dynamic", "pytorch-int8-static")
# Name, kind, definition, rows, drop of the dynamic and of the static model, half of the interval.
SLICES = (
    ("short", "length", "1–16", 412, 0.0024, 0.0073, 0.011),
    ("medium", "length", "17–32", 361, 0.0, 0.0055, 0.012),
    ("long", "length", "33–", 227, 0.0132, -0.0044, 0.018),
    ("POSITIVE", "label", "POSITIVE", 512, -0.0039, 0.0098, 0.01),
    ("negation", "pattern", r"\b(not|no|never)\b", 96, 0.0417, 0.0313, 0.04),
    ("nothing here", "pattern", "zebra", 0, None, None, 0.0),
)


def _scores(variant: str, rows: int, drop: float | None, half: float) -> Scores:
    loss = drop or 0.0
    metric = Metric(
        name="accuracy",
        value=0.866 - loss,
        interval=Interval(low=0.82 - loss, high=0.9 - loss),
        method="wilson",
        confidence=0.95,
    )
    paired = Paired(
        baseline="onnx-fp32" if variant.startswith("onnx") else "pytorch-fp32",
        flips=5,
        now_right=2,
        now_wrong=3,
        mcnemar_p=1.0,
        loss=loss,
        loss_interval=Interval(low=loss - half, high=loss + half),
        max_abs_logit_diff=0.4,
        mean_abs_logit_diff=0.05,
    )
    return Scores(
        variant=variant,
        rows=rows,
        metrics=(metric,),
        paired=paired if "int8" in variant else None,
    )


def _slice(
    name: str,
    kind: str,
    definition: str,
    rows: int,
    dynamic: float | None,
    static: float | None,
    half: float,
) -> SliceResult:
    drops = dict(zip(_MODELS, (None, None, dynamic, static), strict=True))
    scores = tuple(_scores(model, rows, drops[model], half) for model in _MODELS) if rows else ()
    low, _, high = definition.partition("–") if kind == "length" else ("", "", "")
    limits = {"at_least": int(low or 0) or None, "at_most": int(high or 0) or None}
    return SliceResult.model_validate(
        {
            "name": name,
            "kind": kind,
            "definition": definition,
            "rows": rows,
            "scores": scores,
            **limits,
        }
    )


def _reliability(variant: str, shift: float) -> Reliability:
    counts = (0, 0, 0, 0, 0, 31, 58, 84, 151, 676)
    bins = []
    for i, count in enumerate(counts):
        middle = i / 10 + 0.052
        right = min(1.0, round((middle - shift) * count) / count) if count else None
        bins.append(
            ReliabilityBin(
                low=i / 10,
                high=(i + 1) / 10,
                count=count,
                confidence=middle if count else None,
                accuracy=right,
            )
        )
    return Reliability(
        variant=variant,
        units=1000,
        bins=tuple(bins),
        ece=abs(shift),
        ece_interval=Interval(low=abs(shift) - 0.01, high=abs(shift) + 0.01),
        confidence=0.95,
    )


def make_analyses(**changes: object) -> Analyses:
    shifts = zip(_MODELS, (0.04, 0.041, 0.065, 0.028), strict=True)
    analyses = Analyses(
        slices=tuple(_slice(*one) for one in SLICES),
        reliability=tuple(_reliability(name, shift) for name, shift in shifts),
    )
    return analyses.model_copy(update=changes)


def analysed_report(**changes: object) -> Report:
    """The report of examples.py with analyses."""
    return make_report(**{"analyses": make_analyses(), **changes})


def named_slices(*names: str) -> Report:
    """A report whose slices have these names."""
    slices = tuple(_slice(name, "pattern", "x", 96, 0.02, 0.01, 0.04) for name in names)
    return analysed_report(analyses=make_analyses(slices=slices))


def timed_report(batch_sizes: tuple[int, ...], lengths: tuple[int, ...]) -> Report:
    """A report without analyses that was timed on another grid."""
    report = make_report()
    assert report.timings is not None
    timings = []
    for one in report.timings.timings:
        first = one.points[0]
        points = tuple(
            first.model_copy(
                update={
                    "batch_size": size,
                    "input_length": length,
                    "p50_ms": first.p50_ms * size**0.9 * length / 32,
                }
            )
            for size in batch_sizes
            for length in lengths
        )
        timings.append(one.model_copy(update={"points": points}))
    changed = report.timings.model_copy(update={"timings": tuple(timings)})
    return make_report(timings=changed)
