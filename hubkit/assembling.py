"""From a report to the folder that becomes the repository."""

from __future__ import annotations

from pathlib import Path

from hubkit.cards.figures import figures_of
from hubkit.errors import UsageError
from hubkit.formats_records import FormatsReport
from hubkit.gate import refusal
from hubkit.measuring import Measured
from hubkit.recipe_file import LoadedRecipe
from hubkit.records import Artifact, Bundle, CardSet
from hubkit.runner import Runner
from hubkit.stages.bundle import BundleInput, bundle
from hubkit.stages.card import CardInput, card, templates_digest
from hubkit.stages.plot import PlotInput, plot
from hubkit.sweep_records import SweepReport
from hubkit.tune_records import TuneReport


def assemble(
    run: Runner,
    loaded: LoadedRecipe,
    measured: Measured,
    repo_id: str,
    sweep: SweepReport | None = None,
    tuning: TuneReport | None = None,
    formats: FormatsReport | None = None,
    *,
    languages: tuple[str, ...] | None = None,
    templates: Path | None = None,
) -> Bundle:
    """The folder that becomes the repository: cards, weights, records and sums; with the report of
    the sweep or the tuning run that a variant was taken from, and that on formats and serving.
    `languages`, `templates`: as in `render_cards`.

    Raises GateError where the recipe wants an ONNX model and no variant passes the gate.
    """
    recipe, found = loaded.recipe, measured.report
    refuse_unfit(loaded, measured)
    return run.run(
        bundle,
        BundleInput(
            repo_id=repo_id,
            recipe=recipe,
            lock=measured.material.lock,
            report=found,
            cards=render_cards(
                run, loaded, measured, repo_id, languages=languages, templates=templates
            ),
            assets=draw(run, loaded, measured),
            base=found.base,
            published=found.published(),
            fp32_onnx=next(
                v for v in found.variants if v.format == "onnx" and v.precision == "fp32"
            ),
            sweep=sweep,
            tuning=tuning,
            formats=formats,
        ),
    )


def refuse_unfit(loaded: LoadedRecipe, measured: Measured) -> None:
    """Raise GateError where the recipe wants an ONNX or an OpenVINO model and no variant of it
    passes the gate."""
    report, formats = measured.report, loaded.recipe.publication.formats
    if "onnx" in formats and measured.selection.selected is None:
        raise refusal(report, measured.selection)
    converted = report.openvino_selection
    if "openvino" not in formats or converted is None or converted.outdone:
        return  # what is outdone is left out, and the card says so
    if converted.selected is None:
        raise refusal(report, converted, "openvino")


def render_cards(
    run: Runner,
    loaded: LoadedRecipe,
    measured: Measured,
    repo_id: str,
    *,
    languages: tuple[str, ...] | None = None,
    templates: Path | None = None,
) -> CardSet:
    """The cards, and what else is made from the same records. `languages`: the first is that of
    README.md; None: those of the recipe. `templates`: a folder that goes before the recipe's."""
    folders = template_folders(loaded, templates)
    return run.run(
        card,
        CardInput(
            recipe=loaded.recipe,
            notes=loaded.notes,
            translations=dict(loaded.translations),
            lock=measured.material.lock,
            report=measured.report,
            repo_id=repo_id,
            languages=languages or loaded.recipe.publication.card_languages,
            folders=tuple(map(str, folders)),
            named=templates.resolve().name if templates else None,
            templates=templates_digest(folders),
        ),
    )


def plots(run: Runner, loaded: LoadedRecipe, measured: Measured) -> Path | None:
    """A folder with the figures of the cards in assets/; None where there is nothing to draw."""
    drawn = draw(run, loaded, measured)
    return run.store.path(drawn) if drawn else None


def draw(run: Runner, loaded: LoadedRecipe, measured: Measured) -> Artifact | None:
    """The same, as the bundle takes it."""
    figures = figures_of(measured.report, loaded.recipe)
    if not figures:
        return None
    return run.run(plot, PlotInput(figures=figures), lane="onnx").artifact


def template_folders(loaded: LoadedRecipe, templates: Path | None) -> tuple[Path, ...]:
    """Folders of templates that go before hubkit's own. Raises UsageError for one that is none."""
    if templates is not None and not templates.is_dir():
        raise UsageError(
            f"{templates}: no such folder",
            hint="Name a folder of card templates: docs/cards.md shows one.",
        )
    own = loaded.recipe.templates
    found = (templates, loaded.folder / own if own else None)
    return tuple(folder.resolve() for folder in found if folder is not None)
