"""Which figures a card has, where their files are, and how large they are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hubkit.cards.figure_data import FigureData, Latency, ReliabilityDiagram, Sizes, Slices
from hubkit.cards.figure_numbers import figure_data
from hubkit.recipe import Recipe
from hubkit.records import Report

FigureKey = Literal["accuracy-latency", "latency", "size", "reliability", "slices"]
FOLDER = "assets"
WIDTH = 720  # CSS px; on a phone half of it is left, which the letters are large enough for

# Heights in CSS px of parts of a figure, which `hubkit.cards.plot_*` draws to.
LEGEND, FOOT = 44, 62  # above the axes, and for the ticks and the title below them
SIZE_ROW, SLICE_ROW = 46, 44
PANELS_A_ROW, PANEL_HEAD = 3, 36
ACCURACY, LATENCY_PANEL, RELIABILITY = 420, 320, 350


@dataclass(frozen=True)
class Figure:
    """A figure of the card: its files in the repository, its size in CSS px, and its numbers, of
    which the template makes the alternative text."""

    key: FigureKey
    svg: str  # "assets/size.svg"
    png: str
    width: int
    height: int
    data: Annotated[FigureData, Field(discriminator="key")]


def figures_of(report: Report, recipe: Recipe) -> tuple[Figure, ...]:
    """The figures that this report has data for, in the order of the card."""
    return tuple(
        Figure(
            key=data.key,
            svg=f"{FOLDER}/{data.key}.svg",
            png=f"{FOLDER}/{data.key}.png",
            width=WIDTH,
            height=_height(data),
            data=data,
        )
        for data in figure_data(report, recipe)
    )


def _height(data: FigureData) -> int:
    if isinstance(data, Latency):
        panels = latency_panels(data)
        return LEGEND + -(-panels // panels_a_row(panels)) * LATENCY_PANEL
    if isinstance(data, Sizes):
        return len(data.bars) * SIZE_ROW
    if isinstance(data, ReliabilityDiagram):
        return RELIABILITY
    if isinstance(data, Slices):
        rows = len(data.slices) + (1 if data.whole else 0)
        return LEGEND + rows * SLICE_ROW + FOOT
    return ACCURACY


def latency_panels(data: Latency) -> int:
    """One for each batch size; where every call had the same length, one for all of them."""
    return len(data.batch_sizes) if len(data.input_lengths) > 1 else 1


def panels_a_row(panels: int) -> int:
    """How many of so many panels are side by side: four are two and two."""
    return 2 if panels == 4 else min(panels, PANELS_A_ROW)
