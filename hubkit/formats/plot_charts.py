"""The plots of a report on formats, from its record."""

from __future__ import annotations

from dataclasses import dataclass

from hubkit.cards.escape import one_line
from hubkit.formats.plot_model import (
    Axis,
    Bar,
    Bars,
    Chart,
    Guide,
    Mark,
    Series,
    linear,
    logarithmic,
)
from hubkit.formats.report_numbers import Digits
from hubkit.formats.verdict import comparable
from hubkit.formats.view import Served, View
from hubkit.formats_records import BatchCurve, BatchPoint, Cost, PartCost, Roofline
from hubkit.i18n import Language

# Below what float32 tells apart a bar would only show rounding.
_LEAST = 1e-9


@dataclass(frozen=True)
class Words:
    """What the plots call things: messages of the report's template, in a language."""

    clients: str
    per_second: str
    mean_ms: str
    intensity: str
    speed: str
    batch: str
    difference: str
    floor: str
    limit: str
    parts: dict[str, str]


def words(spoken: Language) -> Words:
    """The words in a language. Drawings run from left to right: what does not is isolated."""

    def say(message: str) -> str:
        said = spoken.gettext(message)
        return f"\u2067{said}\u2069" if spoken.rtl else said

    return Words(
        clients=say("Clients"),
        per_second=say("Sentences/s"),
        mean_ms=say("Mean (ms)"),
        intensity=say("FLOPs per byte"),
        speed="GFLOP/s",
        batch=say("Batch size"),
        difference=say("Mean difference from FP32"),
        floor=say("Noise floor"),
        limit=say("Limit"),
        parts={
            "embeddings": say("Embeddings"),
            "backbone": say("Backbone"),
            "head": say("Head"),
        },
    )


@dataclass(frozen=True)
class _Pen:
    view: View
    words: Words
    digits: Digits

    def hue(self, engine: str) -> int:
        """An engine has the same colour in all plots."""
        names = [one.name for one in self.view.measured]
        return names.index(engine) if engine in names else len(names)

    def label(self, engine: str) -> str:
        return one_line(self.view.label(engine))


def charts(view: View, said: Words, digits: Digits) -> dict[str, Chart | Bars]:
    """Name -> plot, of what there are numbers for."""
    pen = _Pen(view, said, digits)
    made = (_throughput(pen), _latency(pen), _roofline(pen), _batch(pen), _divergence(pen))
    return {one.name: one for one in made if one is not None}


def _throughput(pen: _Pen) -> Chart | None:
    served = comparable(pen.view)[0]
    if not served:
        return None
    series = tuple(
        Series(
            pen.label(one.curve.engine),
            pen.hue(one.curve.engine),
            tuple(
                Mark(
                    float(at.concurrency or 0),
                    at.throughput_per_s,
                    f"{pen.label(one.curve.engine)} · {pen.words.clients}: {at.concurrency} ·"
                    f" {pen.digits.significant(at.throughput_per_s)}/s",
                    hollow=not at.stable,
                )
                for at in one.closed
            ),
        )
        for one in served
    )
    marks = [mark for one in series for mark in one.marks]
    return Chart(
        "throughput",
        linear(pen.words.clients, (m.x for m in marks), pen.digits.tick),
        linear(pen.words.per_second, (m.y for m in marks), pen.digits.tick),
        series,
    )


def _latency(pen: _Pen) -> Chart | None:
    served = comparable(pen.view)[0]
    if not served:
        return None
    series = tuple(_latencies(pen, one) for one in served)
    marks = [mark for one in series for mark in one.marks]
    return Chart(
        "latency",
        linear(pen.words.per_second, (m.x for m in marks), pen.digits.tick),
        logarithmic(pen.words.mean_ms, (m.y for m in marks), pen.digits.tick),
        series,
    )


def _latencies(pen: _Pen, one: Served) -> Series:
    name = pen.label(one.curve.engine)
    return Series(
        name,
        pen.hue(one.curve.engine),
        tuple(
            Mark(
                at.throughput_per_s,
                at.mean_ms,
                f"{name} · {pen.words.clients}: {at.concurrency} ·"
                f" {pen.digits.significant(at.throughput_per_s)}/s ·"
                f" {pen.digits.plain_ms(at.mean_ms)} ms",
                hollow=not at.stable,
            )
            for at in one.closed
        ),
    )


def _roofline(pen: _Pen) -> Chart | None:
    report = pen.view.report
    roofs = [one for one in report.rooflines if one.intensity > 0]
    if not roofs or not report.peaks.bandwidths or report.cost is None:
        return None
    reached = tuple(s for curve in report.curves if (s := _reached(pen, curve, report.cost)))
    parts = tuple(_on_roof(pen, part, roofs) for part in report.cost.parts)
    xs = [one.intensity for one in roofs] + [m.x for s in reached for m in s.marks]
    xs += [one.ridge for one in roofs]
    x = logarithmic(pen.words.intensity, xs, pen.digits.tick)
    guides = tuple(_roof(pen, one, x) for one in _distinct(roofs))
    ys = [y for guide in guides for _, y in guide.points]
    ys += [mark.y for s in (*reached, *parts) for mark in s.marks]
    y = logarithmic(pen.words.speed, ys, pen.digits.tick)
    return Chart("roofline", x, y, (*(one for one in parts if one.marks), *reached), guides)


def _distinct(roofs: list[Roofline]) -> list[Roofline]:
    """One of each device and precision."""
    return list({(one.device, one.precision): one for one in roofs}.values())


def _bandwidth(pen: _Pen, roof: Roofline) -> float:
    found = pen.view.report.peaks.bandwidths
    return next((one.bytes_per_s for one in found if one.device == roof.device), 0.0)


def _roof(pen: _Pen, roof: Roofline, x: Axis) -> Guide:
    wide = _bandwidth(pen, roof)
    xs = [x.low, *([roof.ridge] if x.low < roof.ridge < x.high else []), x.high]
    points = tuple((at, min(at, roof.ridge) * wide / 1e9) for at in xs)
    return Guide(f"{roof.device} {roof.precision}".upper(), tuple(p for p in points if p[1] > 0))


def _on_roof(pen: _Pen, part: PartCost, roofs: list[Roofline]) -> Series:
    """A part on the roof of FP32: what the machine allows it for one sentence."""
    roof = pen.view.headline(part.part)
    name = pen.words.parts[part.part]
    order = [one.part for one in pen.view.parts].index(part.part)
    if roof is None or roof not in roofs:
        return Series(name, 5, ())
    y = min(roof.intensity, roof.ridge) * _bandwidth(pen, roof) / 1e9
    said = f"{name} · {roof.precision.upper()} · {pen.digits.significant(roof.intensity)} FLOP/B"
    marks = (Mark(roof.intensity, y, said, hollow=True),) if y > 0 else ()
    return Series(name, len(pen.view.measured) + 1 + order, marks, joined=False)


def _reached(pen: _Pen, curve: BatchCurve, cost: Cost) -> Series | None:
    """What an engine really did at each batch size, over the FLOPs a byte of that size."""
    name = pen.label(curve.engine)
    marks = tuple(
        Mark(
            _intensity(pen, curve.engine, at, cost),
            at.throughput_per_s * cost.flops / 1e9,
            f"{name} · {pen.words.batch}: {at.batch_size} ·"
            f" {pen.digits.giga(at.throughput_per_s * cost.flops)} GFLOP/s",
        )
        for at in curve.points
        if at.throughput_per_s > 0
    )
    return Series(name, pen.hue(curve.engine), marks) if marks else None


def _intensity(pen: _Pen, engine: str, at: BatchPoint, cost: Cost) -> float:
    """FLOPs a byte of a batch in FP32, times as much as the backbone's is higher in the engine's
    precision."""
    moved = sum(p.weight_bytes + at.batch_size * p.activation_bytes for p in cost.parts)
    found = [one for one in pen.view.report.rooflines if one.part == "backbone"]
    by = {one.precision: one.intensity for one in found}
    own = next((str(one.precision) for one in pen.view.measured if one.name == engine), "fp32")
    times = by[own] / by["fp32"] if own in by and by.get("fp32") else 1.0
    return max(at.batch_size * cost.flops / moved * times, 1e-6) if moved else 1.0


def _batch(pen: _Pen) -> Chart | None:
    report = pen.view.report
    series = tuple(
        Series(
            pen.label(curve.engine),
            pen.hue(curve.engine),
            tuple(
                Mark(
                    float(at.batch_size),
                    at.throughput_per_s,
                    f"{pen.label(curve.engine)} · {pen.words.batch}: {at.batch_size} ·"
                    f" {pen.digits.significant(at.throughput_per_s)}/s"
                    f"{'' if at.share is None else f' · {pen.digits.share_percent(at.share)}'}",
                )
                for at in curve.points
            ),
            limit=tuple(
                (float(at.batch_size), at.limit_per_s)
                for at in curve.points
                if at.limit_per_s is not None
            ),
        )
        for curve in report.curves
        if curve.points
    )
    if not series:
        return None
    xs = [mark.x for one in series for mark in one.marks]
    ys = [m.y for s in series for m in s.marks] + [y for s in series for _, y in s.limit]
    x = logarithmic(pen.words.batch, xs, pen.digits.tick, by=2)
    y = logarithmic(pen.words.per_second, ys, pen.digits.tick)
    borders = tuple(
        Guide(
            _joined(pen.words.parts[part.part], pen.digits.count(up_to)),
            ((up_to, y.low), (up_to, y.high)),
        )
        for part in pen.view.parts
        if (roof := pen.view.headline(part.part)) and (up_to := roof.memory_bound_up_to)
        if x.low < up_to < x.high
    )
    return Chart("batch", x, y, series, borders)


def _joined(word: str, value: str) -> str:
    """A word with its value, in the direction of the word."""
    said = f"{word}: {value}"
    return f"\u2067{said}\u2069" if word.startswith("\u2067") else said


def _divergence(pen: _Pen) -> Bars | None:
    found = [one for one in pen.view.divergences if one.distance.mean_abs > _LEAST]
    if not found:
        return None
    bars = tuple(
        Bar(
            pen.label(one.engine),
            pen.hue(one.engine),
            one.distance.mean_abs,
            max(one.distance.mean_abs_interval.low, _LEAST),
            one.distance.mean_abs_interval.high,
            f"{pen.label(one.engine)} · {pen.digits.significant(one.distance.mean_abs)}",
        )
        for one in found
    )
    floor = pen.view.noise_floor
    values = [end for bar in bars for end in (bar.low, bar.high)]
    values += [floor] if floor and floor > _LEAST else []
    low = min(values) / 3  # so that the shortest bar is seen
    x = logarithmic(pen.words.difference, (low, max(values)), pen.digits.tick)
    return Bars("divergence", x, bars, floor if floor and floor > _LEAST else None, pen.words.floor)
