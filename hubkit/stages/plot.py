"""plot: the figures of a card."""

from __future__ import annotations

from pathlib import PurePosixPath

from hubkit.cards.figures import FOLDER, Figure
from hubkit.records import Artifact, Record
from hubkit.stage import Context, stage


class PlotInput(Record):
    """The figures with their numbers, as `hubkit.cards.figures.figures_of` gives them.

    What else is in the recipe and the report draws nothing: another word in the card's prose finds
    the same figures again.
    """

    figures: tuple[Figure, ...]


class Plots(Record):
    """`artifact` holds assets/*.svg and assets/*.png; nothing where there was nothing to draw."""

    artifact: Artifact


@stage(
    "plot",
    version=1,
    kind="heavy",
    takes=PlotInput,
    gives=Plots,
    tools=("matplotlib", "numpy", "pillow"),
)
def plot(given: PlotInput, ctx: Context) -> Plots:
    """Each figure as SVG and as PNG at twice its size, transparent, the same bytes every time."""
    from hubkit.cards.plot import plot_figure

    root = ctx.scratch / "plot"
    (root / FOLDER).mkdir(parents=True)
    for done, figure in enumerate(given.figures):
        ctx.progress("drawing", done, len(given.figures))
        drawn = plot_figure(figure)
        for path, data in ((figure.svg, drawn.svg), (figure.png, drawn.png)):
            # Whatever the record says: nothing is written beside the folder.
            (root / FOLDER / PurePosixPath(path).name).write_bytes(data)
    ctx.progress("drawing", len(given.figures), len(given.figures))
    return Plots(artifact=ctx.store.adopt(root))
