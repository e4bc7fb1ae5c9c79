"""The report of a tuning run as Markdown: what was looked for, every trial, what was taken."""

from __future__ import annotations

from hubkit.cards.environment import render
from hubkit.sweeps.report_cells import Cell, Code, Column, Table, text
from hubkit.sweeps.report_markdown import markdown_table
from hubkit.sweeps.tune_settings import settings
from hubkit.tune_records import GroupCost, Sensitivity, Trial, TuneReport, Verdict

_NONE = "–"
_MB = 1e6


def tune_markdown(report: TuneReport) -> str:
    """README.md of a tuning run. Reads no clock, no network and no model."""
    names = {
        "report": report,
        "taken": report.taken,
        "summary": summary(report),
        "criterion": criterion_text(report),
        "allowed": f"{_allowed(report):.4f}",
        "trials": markdown_table(_trials(report)),
        "made": markdown_table(_made(report)),
        "confirmations": markdown_table(_confirmations(report)) if report.confirmations else None,
        "sensitivities": [
            (one, markdown_table(_groups(one))) for one in report.sensitivities if one.costs
        ],
        "flags": ", ".join(report.machine.flags),
    }
    return render("report/tune.md.j2", names).rstrip() + "\n"


def criterion_text(report: TuneReport) -> str:
    """The criterion in words: accuracy, at most 1 % less than FP32."""
    criterion = report.tune.accuracy_criterion
    if criterion.absolute is not None:
        return f"{report.metric} at most {criterion.absolute:g} below FP32's"
    return f"{report.metric} at most {100 * (criterion.relative or 0):g} % below FP32's"


def summary(report: TuneReport) -> tuple[str, ...]:
    """What came of it, a sentence each."""
    taken = report.taken
    if taken is None:
        return ("No model could be made at all: the table says why.",)
    said = []
    if report.outcome == "met":
        said.append(f"{taken.name} meets the criterion, and is taken.")
    else:
        said.append(
            f"No trial meets the criterion. The best so far is {taken.name}: {why_not(report)}."
        )
    if report.confirmations:
        last = next(c for c in report.confirmations if c.trial == taken.name)
        said.append(judged(last.verdict, "not searched on"))
    elif taken.verdict:
        said.append(judged(taken.verdict, "searched on"))
    if report.stopped:
        said.append(f"The search was ended: {report.stopped}.")
    return (*said, *report.notes)


def why_not(report: TuneReport) -> str:
    """Why the best so far is not taken."""
    taken = report.taken
    assert taken is not None
    if report.confirmations:
        if not report.confirmations[-1].verdict.baseline > 0:
            return "the rows that were not searched on cannot confirm it"
        return "it held on the rows that were searched on, and not on the others"
    why = []
    if taken.verdict and not taken.verdict.passes:
        why.append("it loses more than is allowed")
    if taken.relative_ms and relative(taken) >= 1:
        why.append("it is not faster than FP32")
    elif where := slower_text(taken):
        why.append(f"it is {where}")
    if taken.variant and taken.variant.size_bytes >= report.baseline.size_bytes:
        why.append("it is not smaller than FP32")
    return " and ".join(why) or "the search was ended before it was timed"


def judged(verdict: Verdict, which: str) -> str:
    """A verdict in words, with its numbers."""
    rows = "1 row" if verdict.rows == 1 else f"{verdict.rows:,} rows"
    if not verdict.baseline > 0:
        return (
            f"On {rows} {which} the metric of FP32 itself is {verdict.baseline:g}: there is no"
            " accuracy to lose, so that nothing can be confirmed; score on more rows."
        )
    numbers = (
        f"On {rows} {which} the metric falls by {_signed(verdict.loss)}"
        f" ({100 * verdict.confidence:g} % interval {_signed(verdict.interval.low)} …"
        f" {_signed(verdict.interval.high)}); {verdict.allowed:.4f} is allowed"
    )
    if verdict.state == "holds":
        return f"{numbers}: the criterion holds."
    if verdict.state == "fails":
        return f"{numbers}: the criterion fails."
    needed = (
        f"about {verdict.rows_needed:,} would"
        if verdict.rows_needed
        else "no number of rows would, if this is the true loss"
    )
    side = "within" if verdict.passes else "beyond"
    return (
        f"{numbers}: {side} it, but undecided, since these rows cannot settle on which side the"
        f" true loss lies; {needed}."
    )


def relative(trial: Trial) -> float:
    """Mean latency over that of FP32, geometric mean over rounds and grid."""
    import statistics

    return statistics.geometric_mean(trial.relative_ms)


def slower_text(trial: Trial) -> str:
    """Where it is shown to be slower than FP32: slower than FP32 at 8×128 (1.12 times its latency);
    empty where it is not."""
    import statistics

    points = [
        f"{p.batch_size}×{p.input_length} ({statistics.geometric_mean(p.relative_ms):.2f} times its"
        " latency)"
        for p in trial.slower_at
    ]
    return f"slower than FP32 at {' and '.join(points)}" if points else ""


def _allowed(report: TuneReport) -> float:
    criterion = report.tune.accuracy_criterion
    value = next(m.value for m in report.baseline_search.metrics if m.name == report.metric)
    return (
        criterion.absolute if criterion.absolute is not None else value * (criterion.relative or 0)
    )


def _trials(report: TuneReport) -> Table:
    metric = report.metric
    columns = (
        *(Column("#", "right"), Column("trial"), Column(metric, "right"), Column("loss", "right")),
        *(Column("interval", "right"), Column("flips", "right"), Column("MB", "right")),
        *(Column("speed", "right"), Column("criterion")),
    )
    baseline = next(m.value for m in report.baseline_search.metrics if m.name == metric)
    size = f"{report.baseline.size_bytes / _MB:.1f}"
    fp32 = ("", Code(report.baseline.name), f"{baseline:.4f}", "", "", "", size, "1.00", "")
    rows = [tuple((cell,) for cell in fp32), *(_trial(report, trial) for trial in report.trials)]
    return Table(columns, tuple(rows))


def _trial(report: TuneReport, trial: Trial) -> tuple[Cell, ...]:
    verdict, scores, variant = trial.verdict, trial.scores, trial.variant
    metrics = {m.name: m.value for m in scores.metrics} if scores else {}
    paired = scores.paired if scores else None
    name = Code(trial.name)
    return (
        text(str(trial.number)),
        (name, " (taken)") if _is_taken(report, trial) else (name,),
        text(f"{metrics[report.metric]:.4f}" if metrics else _NONE),
        text(_signed(verdict.loss) if verdict else _NONE),
        text(_interval(verdict) if verdict else _NONE),
        text(str(paired.flips) if paired else _NONE),
        text(f"{variant.size_bytes / _MB:.1f}" if variant else _NONE),
        text(f"{1 / relative(trial):.2f}" if trial.relative_ms else _NONE),
        _outcome(report, trial),
    )


def _made(report: TuneReport) -> Table:
    """What each trial is: the step of the search, its settings, and the groups that are not as they
    are in the rest of it."""
    columns = (Column("#", "right"), Column("step"), Column("settings"), Column("given back"))
    rows = [
        (
            text(str(t.number)),
            text(t.phase.replace("-", " ")),
            text(settings(t.spec)),
            _names(t.gave_back),
        )
        for t in report.trials
    ]
    return Table(columns, tuple(rows))


def _interval(verdict: Verdict) -> str:
    return f"{_signed(verdict.interval.low)} … {_signed(verdict.interval.high)}"


def _is_taken(report: TuneReport, trial: Trial) -> bool:
    return report.outcome == "met" and trial.name == report.best


def _names(keys: tuple[str, ...]) -> Cell:
    parts: list[str] = []
    for key in keys:
        parts += [", ", Code(key)] if parts else [Code(key)]
    return tuple(parts) or (_NONE,)


def _outcome(report: TuneReport, trial: Trial) -> Cell:
    if trial.failed:
        return text(f"failed: {trial.failed.reason}")
    if trial.same_as:
        return ("the same as ", Code(trial.same_as))
    verdict = trial.verdict
    if verdict is None:
        return text(_NONE)
    said = {
        ("holds", True): "holds",
        ("undecided", True): "met, undecided",
        ("undecided", False): "missed, undecided",
        ("fails", False): "fails",
    }.get((verdict.state, verdict.passes), verdict.state)
    if trial.name in report.refuted:
        said += "; not on the other rows, so not taken"
    if trial.relative_ms and relative(trial) >= 1:
        said += "; not faster than FP32, so not taken"
    elif where := slower_text(trial):
        said += f"; {where}, so not taken"
    if trial.variant and trial.variant.size_bytes >= report.baseline.size_bytes:
        said += "; not smaller than FP32, so not taken"
    return text(said)


def _confirmations(report: TuneReport) -> Table:
    columns = (
        *(Column("trial"), Column("rows", "right"), Column("loss", "right")),
        *(Column("interval", "right"), Column("confidence", "right"), Column("flips", "right")),
        *(Column("McNemar p", "right"), Column("verdict")),
    )
    rows = []
    for one in report.confirmations:
        verdict, paired = one.verdict, one.scores.paired
        rows.append(
            (
                (Code(one.trial),),
                text(f"{verdict.rows:,}"),
                text(_signed(verdict.loss)),
                text(_interval(verdict)),
                text(f"{100 * verdict.confidence:g} %"),
                text(str(paired.flips) if paired else _NONE),
                text(_p(paired.mcnemar_p if paired else None)),
                text(("met" if verdict.passes else "missed") + f", {verdict.state}"),
            )
        )
    return Table(columns, tuple(rows))


def _p(value: float | None) -> str:
    if value is None:
        return _NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _groups(found: Sensitivity) -> Table:
    columns = (
        *(Column("group"), Column("nodes", "right"), Column("output differs by", "right")),
        *(Column("flips", "right"), Column("wins µs", "right"), Column("wins MB", "right")),
    )
    ordered = sorted(found.costs, key=lambda c: (-(c.damage or 0.0), c.group.key))
    return Table(columns, tuple(_group(cost) for cost in ordered))


def _group(cost: GroupCost) -> tuple[Cell, ...]:
    return (
        (Code(cost.group.key),),
        text(str(cost.group.nodes)),
        text(_NONE if cost.damage is None else f"{cost.damage:.4f}"),
        text(_NONE if cost.flips is None else str(cost.flips)),
        text(f"{cost.gain_us:,.0f}"),
        text(f"{cost.gain_bytes / _MB:.1f}"),
    )


def _signed(value: float) -> str:
    # + 0.0 turns a rounded -0.0 into 0.0
    return f"{round(value, 4) + 0.0:.4f}"
