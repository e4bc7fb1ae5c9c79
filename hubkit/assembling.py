"""From a report to the folder that becomes the repository."""

from __future__ import annotations

from hubkit.gate import refusal
from hubkit.measuring import Measured
from hubkit.recipe_file import LoadedRecipe
from hubkit.records import (
    Bundle,
)
from hubkit.runner import Runner
from hubkit.stages.bundle import BundleInput, bundle
from hubkit.stages.card import CardInput, card
from hubkit.sweep_records import SweepReport


def assemble(
    run: Runner,
    loaded: LoadedRecipe,
    measured: Measured,
    repo_id: str,
    sweep: SweepReport | None = None,
) -> Bundle:
    """The folder that becomes the repository: card, weights, records and sums; with the report of
    the sweep that the ONNX variant was taken from.

    Raises GateError where the recipe wants an ONNX model and no variant passes the gate.
    """
    recipe, found = loaded.recipe, measured.report
    if "onnx" in recipe.publication.formats and measured.selection.selected is None:
        raise refusal(found, measured.selection)
    text = run.run(
        card,
        CardInput(
            recipe=recipe,
            notes=loaded.notes,
            lock=measured.material.lock,
            report=found,
            repo_id=repo_id,
        ),
    )
    return run.run(
        bundle,
        BundleInput(
            repo_id=repo_id,
            recipe=recipe,
            lock=measured.material.lock,
            report=found,
            card=text,
            base=found.base,
            published=found.published(),
            fp32_onnx=next(
                v for v in found.variants if v.format == "onnx" and v.precision == "fp32"
            ),
            sweep=sweep,
        ),
    )
