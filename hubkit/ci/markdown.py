"""A comparison, and a publication, as GitHub's Markdown.

Names and words of a recipe are whoever wrote it: none of them is read as Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from hubkit.cards import numbers
from hubkit.cards.layout import metric_title
from hubkit.ci.comment import LONGEST, mark
from hubkit.ci.records import Comparison, LatencyFact, VariantFacts, VariantPair

_NONE = "–"
_PLAIN = re.compile(r"[\\`*_{}\[\]()#+!|<>~@:$-]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONG_LINE = 400
_LEFT_OUT = "… the rest is left out; the whole card is in the run's artifacts"


def comparison(found: Comparison) -> str:
    """A comparison as a comment, its mark first; it is no longer than GitHub takes."""
    head = [mark(found.name), f"## hubkit: {code(found.name)}", "", _verdict(found), ""]
    if found.base_missing is not None and found.new_missing is None:
        head += [f"Nothing to compare with: {plain(found.base_missing)}.".replace("..", "."), ""]
    parts = [*head, *_models(found), *_latencies(found), *_inputs(found)]
    text = "\n".join(parts)
    return text + _cards(found, LONGEST - len(text) - 1000)


def _verdict(found: Comparison) -> str:
    gate = found.gate
    if gate.passes:
        chosen = f": {code(gate.selected)} becomes `model.onnx`" if gate.selected else ""
        pushed = "; it was pushed to an embedded Hub, and verified there" if found.pushed else ""
        return f"**The gate is met**{chosen}{pushed}."
    title = "The gate is not met" if gate.reasons else "This cannot be published"
    said = [f"> {plain(line)}" for line in gate.message.splitlines()[:1] if line.strip()]
    reasons = [f"> - {code(variant)}: {plain(reason)}" for variant, reason in gate.reasons]
    return "\n".join(["> [!CAUTION]", f"> **{title}.**", *said, ">", *reasons])


def _models(found: Comparison) -> list[str]:
    if not found.variants:
        return []
    point = _first_point(found.variants)
    times = f"{point[0]} × {point[1]} median ms" if point else "Median ms"
    title = metric_title(found.metric) if found.metric else "Metric"
    header = ("Model", title, "Flips against FP32", "MB", times, "Published")
    rows = [_model(pair, point, found) for pair in found.variants]
    notes = []
    if any(" → " in cell for row in rows for cell in row):
        notes.append("Before → **now**; what stands alone has not changed.")
    if found.base_missing is None and found.new_missing is None:
        if not found.same_rows:
            notes.append("The two were scored on different rows: their accuracy differs by that.")
        if not found.same_machine:
            notes.append("The two were timed on different machines: latency cannot be compared.")
    return [*table(header, rows), "", *(f"{note}\n" for note in notes)]


def _model(pair: VariantPair, point: tuple[int, int] | None, found: Comparison) -> tuple[str, ...]:
    base, new = pair.base, pair.new
    name = code(pair.variant)
    if new is None and found.new_missing is None:
        name += " (removed)"
    elif base is None and found.base_missing is None:
        name += " (new)"
    return (
        name,
        _moved(base, new, lambda f: f.value, numbers.score, numbers.signed),
        _moved(base, new, lambda f: f.flips, numbers.count),
        _moved(base, new, lambda f: f.size_bytes, numbers.megabytes),
        _milliseconds(_at(base, point), _at(new, point), comparable=found.same_machine),
        _moved(base, new, lambda f: f.selected, lambda yes: "yes" if yes else "no"),
    )


def _moved(
    base: VariantFacts | None,
    new: VariantFacts | None,
    value: Callable[[VariantFacts], float | int | bool | None],
    show: Callable[..., str],
    signed: Callable[[float], str] | None = None,
) -> str:
    """One cell: the value, or from what to what, with the difference where it has a meaning."""
    old = value(base) if base else None
    now = value(new) if new else None
    if old is None or now is None:
        only = now if now is not None else old
        return _NONE if only is None else show(only)
    if show(old) == show(now):
        return show(now)
    difference = f" ({signed(now - old)})" if signed else ""
    return f"{show(old)} → **{show(now)}**{difference}"


def _first_point(pairs: Sequence[VariantPair]) -> tuple[int, int] | None:
    sides = (side for pair in pairs for side in (pair.new, pair.base) if side)
    return min(((p.batch_size, p.input_length) for s in sides for p in s.latency), default=None)


def _at(facts: VariantFacts | None, point: tuple[int, int] | None) -> LatencyFact | None:
    found = facts.latency if facts else ()
    return next((p for p in found if (p.batch_size, p.input_length) == point), None)


def _milliseconds(base: LatencyFact | None, new: LatencyFact | None, *, comparable: bool) -> str:
    """From what to what; in bold where no round of the one was as slow as any of the other."""
    if base is None or new is None:
        only = new or base
        return numbers.milliseconds(only.p50_ms) if only else _NONE
    now = numbers.milliseconds(new.p50_ms)
    before = numbers.milliseconds(base.p50_ms)
    if before == now:
        return now
    one_round = base.lowest_ms == base.highest_ms or new.lowest_ms == new.highest_ms
    if not comparable or one_round:  # nothing tells what chance does
        return f"{before} → {now}"
    if new.highest_ms < base.lowest_ms or new.lowest_ms > base.highest_ms:
        return f"{before} → **{now}**"
    return f"{before} → {now} (within the spread)"


def _latencies(found: Comparison) -> list[str]:
    points = sorted(
        {
            (p.batch_size, p.input_length)
            for pair in found.variants
            for side in (pair.base, pair.new)
            if side
            for p in side.latency
        }
    )
    if len(points) < 2:
        return []
    header = ("Model", *(f"{batch} × {length}" for batch, length in points))
    rows = [
        (
            code(pair.variant),
            *(
                _milliseconds(
                    _at(pair.base, point), _at(pair.new, point), comparable=found.same_machine
                )
                for point in points
            ),
        )
        for pair in found.variants
    ]
    title = "Median latency in ms, batch size × input length"
    return details(title, "\n".join(table(header, rows)))


def _inputs(found: Comparison) -> list[str]:
    if not found.inputs:
        return []
    rows = [
        (code(c.what), code(c.base) if c.base else _NONE, code(c.new) if c.new else _NONE)
        for c in found.inputs
    ]
    return details("What went in differs", "\n".join(table(("", "Before", "Now"), rows)))


def _cards(found: Comparison, room: int) -> str:
    """The diffs of the cards, as many lines of each as there is room for."""
    parts = []
    for number, card in enumerate(found.cards):
        share = room // (len(found.cards) - number)
        added = sum(line.startswith("+") and not line.startswith("+++") for line in card.lines)
        gone = sum(line.startswith("-") and not line.startswith("---") for line in card.lines)
        title = f"{card.path}: +{added} −{gone}"
        part = "\n".join(details(title, fenced(card.lines, share - len(title) - 100)))
        room -= len(part)
        parts.append(part)
    if not parts and found.new_missing is None and found.base_missing is None:
        parts = ["The card is the same.\n"]
    return "\n".join(["", *parts])


def fenced(lines: Iterable[str], room: int) -> str:
    """Lines of a diff as a block that none of them can end, cut where there is no more room."""
    shown, used = [], 0
    for line in lines:
        short = _CONTROLS.sub("�", line)
        short = short if len(short) <= _LONG_LINE else f"{short[:_LONG_LINE]}…"
        used += len(short) + 1
        if used > room:
            shown.append(_LEFT_OUT)
            break
        shown.append(short)
    ticks = max((len(run) for line in shown for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, ticks + 1)
    return "\n".join([f"{fence}diff", *shown, fence])


def details(title: str, body: str) -> list[str]:
    """A part that is folded away."""
    return ["<details>", f"<summary>{plain(title)}</summary>", "", body, "", "</details>", ""]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table: the first column to the left, the others to the right."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def code(text: str) -> str:
    """A name in code style, in a table too."""
    flat = " ".join(_CONTROLS.sub(" ", text).split()).replace("`", "'").replace("|", "¦")
    return f"`{flat}`" if flat else _NONE


def plain(text: str) -> str:
    """Words that are not read as Markdown, HTML or a mention, on one line."""
    flat = " ".join(_CONTROLS.sub(" ", text).split())
    return _PLAIN.sub(lambda found: f"&#{ord(found[0])};", flat)
