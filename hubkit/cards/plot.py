"""A figure of a card as SVG and PNG, from its numbers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubkit.cards.figure_data import AccuracyLatency, Latency, ReliabilityDiagram, Sizes
from hubkit.cards.figures import Figure
from hubkit.cards.plot_analyses import draw_reliability, draw_slices
from hubkit.cards.plot_canvas import Drawn, canvas, card_settings, saved
from hubkit.cards.plot_models import draw_accuracy_latency, draw_latency, draw_sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


def plot_figure(figure: Figure) -> Drawn:
    """The figure's files: the same numbers and the same matplotlib give the same bytes."""
    with card_settings():
        made = canvas(figure.width, figure.height)
        draw_on(made, figure)
        return saved(made)


def draw_on(made: Canvas, figure: Figure) -> None:
    """Draw the figure on an empty canvas of its size, within `card_settings`."""
    data, size = figure.data, (figure.width, figure.height)
    if isinstance(data, AccuracyLatency):
        draw_accuracy_latency(made, data, *size)
    elif isinstance(data, Latency):
        draw_latency(made, data, *size)
    elif isinstance(data, Sizes):
        draw_sizes(made, data, *size)
    elif isinstance(data, ReliabilityDiagram):
        draw_reliability(made, data, *size)
    else:
        draw_slices(made, data, *size)
