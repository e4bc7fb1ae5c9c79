"""What `hubkit tune` prints when it is done."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from hubkit.cli.show import as_json, stage_seconds
from hubkit.output import output
from hubkit.sweeps.tune_report import relative, summary
from hubkit.tuned import refusal
from hubkit.tuning_pipeline import MODEL, REPORT

if TYPE_CHECKING:
    from hubkit.tune_records import Trial, TuneReport
    from hubkit.tuning_pipeline import Tuned

_WIDTH = 78
_NONE = "–"


def show_tuned(tuned: Tuned) -> None:
    """The trials as a table, what is taken, and where it is. Raises GateError, with exit code 3,
    where no trial meets the criterion."""
    out, report = output(), tuned.report
    met = report.outcome == "met"
    kept = tuned.output / MODEL
    if out.style == "json":
        out.data(
            {
                "output": str(tuned.output),
                "outcome": report.outcome,
                "best": report.best,
                "results": as_json(report),
                "stages": stage_seconds(tuned.ran),
            }
        )
        if not met:  # one object on stdout: the error is in it
            raise SystemExit(3)
        return
    if out.style == "quiet":
        out.data(str(kept))
    else:
        out.info()
        out.data(table_of(report))
        out.data("")
    if not met:
        saved = f"It is in {kept}, the trials in {tuned.output / REPORT}." if report.best else ""
        raise refusal(report, saved)
    if out.style == "human":
        for sentence in summary(report):
            out.data(textwrap.fill(sentence, _WIDTH))
        out.data(f"\nThe model: {kept}\nThe report: {tuned.output / REPORT}")


def table_of(report: TuneReport) -> str:
    """FP32 and the trials, at most 80 columns wide."""
    header = ("Trial", "Float", report.metric.title(), "Loss", "Flips", "MB", "Speed", "")
    value = next(m.value for m in report.baseline_search.metrics if m.name == report.metric)
    size = f"{report.baseline.size_bytes / 1e6:.1f}"
    first = (report.baseline.name, "", f"{value:.4f}", "", "", size, "1.00", "")
    return output().table(header, [first, *(_cells(report, trial) for trial in report.trials)])


def _cells(report: TuneReport, trial: Trial) -> tuple[str, ...]:
    scores, verdict, variant = trial.scores, trial.verdict, trial.variant
    metrics = {m.name: m.value for m in scores.metrics} if scores else {}
    paired = scores.paired if scores else None
    return (
        trial.name,
        str(len(trial.gave_back) or ""),
        f"{metrics[report.metric]:.4f}" if metrics else _NONE,
        f"{verdict.loss + 0.0:.4f}" if verdict else _NONE,
        str(paired.flips) if paired else _NONE,
        f"{variant.size_bytes / 1e6:.1f}" if variant else _NONE,
        f"{1 / relative(trial):.2f}" if trial.relative_ms else _NONE,
        _said(report, trial),
    )


def _said(report: TuneReport, trial: Trial) -> str:
    if trial.failed:
        return "failed"
    if trial.same_as:
        return "same"
    if trial.name == report.best:
        return "taken" if report.outcome == "met" else "best"
    if trial.name in report.refuted:
        return "refuted"
    verdict = trial.verdict
    return "" if verdict is None else "meets" if verdict.passes else "misses"
