"""The gates: the errors where no variant is good enough, and where the card lacks its author's
words."""

from __future__ import annotations

import textwrap

from hubkit.cards.completeness import Completeness, completeness, mandatory_keys, meaning
from hubkit.cards.layout import FORMAT_NAMES
from hubkit.errors import GateError
from hubkit.output import Output
from hubkit.recipe_file import LoadedRecipe, shown
from hubkit.recipe_yaml import Fault
from hubkit.records import Candidate, Format, Record, Report, Selection
from hubkit.sweep_records import SweepReport

_WIDTH = 78
_NONE = "–"


class Missing(Record):
    """Something that only the author can say, and has not said: its key, what it is to say, and
    where in the recipe it belongs."""

    key: str
    says: str
    file: str
    line: int
    described: str  # file:line: key: what it is to say


def missing_fields(loaded: LoadedRecipe, found: Completeness) -> tuple[Missing, ...]:
    """The mandatory fields of the card that are not said, with the place of each."""
    return tuple(_missing(loaded, key) for key in found.missing)


def _missing(loaded: LoadedRecipe, key: str) -> Missing:
    loc, says = tuple(key.split(".")), meaning(key)
    fault = Fault(loc, f"not said: {says}")
    return Missing(
        key=key,
        says=says,
        file=shown(loaded.path),
        line=loaded.document.line(fault),
        described=loaded.document.describe(fault),
    )


def incomplete(missing: tuple[Missing, ...], hint: str) -> GateError:
    """What to raise where the card lacks what only its author can say."""
    counted = f"{len(missing)} of the {len(mandatory_keys())} things that only its author can say"
    parts = [f"the card lacks {counted}:", *(one.described for one in missing)]
    return GateError("\n".join(parts), hint=hint)


def refuse_incomplete(loaded: LoadedRecipe) -> None:
    """Raise GateError where the recipe wants a complete card and its author has not said all.

    It needs the recipe and the notes alone, so that it can be known before anything is measured.
    """
    if not loaded.recipe.gates.complete_card:
        return
    missing = missing_fields(loaded, completeness(loaded.recipe, loaded.notes))
    if missing:
        raise incomplete(
            missing,
            "Say these in the recipe (docs/recipe.md explains each), or set"
            " gates.complete_card: false.",
        )


def refusal(report: Report | SweepReport, selection: Selection, kind: Format = "onnx") -> GateError:
    """What to raise where the selection of a format has taken no variant: every one of them, and
    why."""
    name = FORMAT_NAMES[kind]
    parts = [f"no {name} variant meets the gate, so nothing is published"]
    if selection.candidates:
        parts += ["", _table(report, selection), ""]
    parts += [textwrap.fill(note, _WIDTH) for note in _notes(report, selection, name)]
    return GateError(
        "\n".join(parts).rstrip(),
        hint="Allow more under gates.max_relative_loss, add gentler variants, or publish"
        f" {_others(kind)}.",
    )


def _others(kind: Format) -> str:
    """What can be published without a format."""
    if kind == "onnx":
        return "PyTorch alone with publication.formats: [pytorch]"
    return f"the other formats: leave {kind} out of publication.formats"


def _table(report: Report | SweepReport, selection: Selection) -> str:
    confidence = next((m.confidence for s in report.scores for m in s.metrics), 0.95)
    header = ("Variant", selection.metric, "FP32", "Loss %", f"{confidence * 100:g} % CI")
    rows = [_cells(candidate, selection.max_relative_loss) for candidate in selection.candidates]
    return Output().table((*header, "Allowed", "Verdict"), rows)


def _cells(candidate: Candidate, allowed: float) -> tuple[str, ...]:
    value, loss, interval = candidate.metric, candidate.relative_loss, candidate.loss_interval
    return (
        candidate.variant,
        _NONE if value is None else f"{value:.4f}",
        f"{candidate.baseline_metric:.4f}",
        _NONE if loss is None else _percent(loss),
        _NONE if interval is None else f"{_percent(interval.low)} … {_percent(interval.high)}",
        f"{allowed * 100:g} %",
        "passes" if candidate.passes else "refused",
    )


def _notes(report: Report | SweepReport, selection: Selection, name: str) -> list[str]:
    """What the table cannot say: a sentence each."""
    judged = [c for c in selection.candidates if c.relative_loss is not None and c.loss_interval]
    notes = [f"{c.variant}: {c.reason}" for c in selection.candidates if c not in judged or c.worse]
    if judged:
        notes.append(
            f"Loss: how far {selection.metric} falls, as a share of {name} FP32's, on"
            f" {report.encoded.rows:,} rows."
        )
    unsettled = [c.variant for c in judged if _holds(c, selection.max_relative_loss)]
    if unsettled:
        notes.append(
            f"What is allowed lies within the interval of {', '.join(unsettled)}: more evaluation"
            " rows would settle it."
        )
    return [*notes, *(f"{f.stage} {f.subject} failed: {f.reason}" for f in report.failures)]


def _holds(candidate: Candidate, allowed: float) -> bool:
    interval = candidate.loss_interval
    return interval is not None and interval.low <= allowed < interval.high


def _percent(share: float) -> str:
    # + 0.0 turns a rounded -0.0 into 0.0
    return f"{round(share * 100, 2) + 0.0:.2f}"
