"""`hubkit card`: print a card in any language, check it, compare it with the Hub's, look at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hubkit.cli.opening import labelled, opened
from hubkit.cli.options import (
    AllLangs,
    Check,
    Demo,
    Diff,
    Endpoint,
    FormatOption,
    LabelColumn,
    LabelledDataset,
    Lang,
    Open,
    OutputDir,
    RepoIdOption,
    Splits,
    Templates,
    TextColumn,
    interruptible,
    refuse_together,
)
from hubkit.output import output

if TYPE_CHECKING:
    from hubkit.folder import LabelledData
    from hubkit.measuring import Measured
    from hubkit.recipe import Recipe
    from hubkit.recipe_file import LoadedRecipe
    from hubkit.recorded import Recorded
    from hubkit.records import CardSet, CardText
    from hubkit.runner import Runner


@dataclass(frozen=True)
class _Subject:
    """What cards are made of. `named`: the repository that the user or the recipe names."""

    run: Runner
    loaded: LoadedRecipe
    measured: Measured
    named: str | None

    @property
    def repo_id(self) -> str:
        """The repository, or one that stands for it in a card that is only looked at."""
        return self.named or f"USER/{self.loaded.recipe.name}-int8"

    def wanted(self, why: str) -> str:
        """The repository; raises UsageError where none is named."""
        from hubkit.errors import UsageError

        if self.named is None:
            raise UsageError(
                why, hint="Add --repo-id USER/NAME, or set publication.repo_id in the recipe."
            )
        return self.named

    def cards(self, languages: tuple[str, ...] | None, templates: Path | None) -> CardSet:
        """The cards in these languages; None: in those of the recipe. Raises GateError where no
        variant is good enough to be published."""
        from hubkit.assembling import refuse_unfit, render_cards

        refuse_unfit(self.loaded, self.measured)
        return render_cards(
            self.run,
            self.loaded,
            self.measured,
            self.repo_id,
            languages=languages,
            templates=templates,
        )

    def plots(self) -> Path | None:
        """The folder with assets/; None: there are no pictures."""
        from hubkit.assembling import plots

        return plots(self.run, self.loaded, self.measured)


@interruptible
def card(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE|FOLDER",
            help="A recipe's name, file or folder, a model folder, or a bundle that --output"
            " wrote.",
            show_default=False,
        ),
    ],
    lang: Lang = None,
    all_langs: AllLangs = False,
    check: Check = False,
    diff: Diff = False,
    open_: Open = False,
    repo_id: RepoIdOption = None,
    into: OutputDir = None,
    templates: Templates = None,
    dataset: LabelledDataset = None,
    text_column: TextColumn = None,
    label_column: LabelColumn = "label",
    splits: Splits = None,
    demo: Demo = False,
    endpoint: Endpoint = None,
    format_: FormatOption = "human",
) -> None:
    """Print the model card; with --output, write the whole bundle that `publish` would push.

    --check ends with exit code 3 where something is missing, or where a card is not what the
    records beside it make.
    """
    refuse_together(check=check, diff=diff, open=open_, output=into is not None)
    refuse_together(lang=lang is not None, all_langs=all_langs, check=check, diff=diff)
    _refuse_unknown(lang)
    if check:
        refuse_together(check=True, dataset=dataset is not None)
        _check(target, repo_id, templates, demo=demo)
        return
    data = labelled(dataset, text_column, label_column, splits)
    with _subject(target, repo_id, demo=demo, endpoint=endpoint, data=data) as subject:
        languages = _languages(subject.loaded.recipe, lang, all_langs=all_langs)
        if diff:
            _diff(subject, templates)
        elif open_:
            _open(subject, subject.cards(languages, templates), lang)
        elif into is not None:
            _write_bundle(subject, into, languages, templates)
        else:
            _print(subject, subject.cards(languages, templates), lang, all_langs=all_langs)


def _print(subject: _Subject, made: CardSet, lang: str | None, *, all_langs: bool) -> None:
    from hubkit.cli.show_card import show_card, show_cards

    if all_langs:
        show_cards(made.cards)
    else:
        show_card(subject.repo_id, _in_language(made, lang))


def _in_language(made: CardSet, lang: str | None) -> CardText:
    return next((card for card in made.cards if card.language == lang), made.cards[0])


def _write_bundle(
    subject: _Subject, into: Path, languages: tuple[str, ...] | None, templates: Path | None
) -> None:
    from hubkit.assembling import assemble
    from hubkit.cli.show_card import show_bundle

    repo_id = subject.wanted("the bundle's card must name its repository")
    ready = assemble(
        subject.run,
        subject.loaded,
        subject.measured,
        repo_id,
        languages=languages,
        templates=templates,
    )
    show_bundle(subject.run.store, ready, into)


def _check(target: str, repo_id: str | None, templates: Path | None, *, demo: bool) -> None:
    from hubkit.card_check import check_card
    from hubkit.cli.show_card import show_checked, unmet

    _refuse_for_bundle(target, demo=demo)

    def render(recorded: Recorded) -> CardSet:
        from hubkit.pipeline import running

        with running() as run:
            return _of_records(run, recorded, repo_id).cards(recorded.languages(), templates)

    checked = check_card(target, demo=demo, render=render)
    show_checked(checked)
    if checked.passes:
        return
    error = unmet(checked)
    if output().style == "json":  # what is wrong is in the one object on stdout
        raise typer.Exit(error.exit_code)
    raise error


def _diff(subject: _Subject, templates: Path | None) -> None:
    from hubkit.card_diff import diff_cards
    from hubkit.cli.show_card import show_diffs
    from hubkit.hub.client import connect

    repo_id = subject.wanted("no repository to compare with")
    hub = connect(subject.run.endpoint, subject.run.token)
    if "/" not in repo_id:
        repo_id = f"{hub.account().name}/{repo_id}"
    show_diffs(diff_cards(hub, subject.cards(None, templates), repo_id))


def _open(subject: _Subject, made: CardSet, lang: str | None) -> None:
    import webbrowser

    from hubkit.card_preview import write_preview
    from hubkit.paths import cache_dir

    if lang is not None:  # the page begins with the first
        first = _in_language(made, lang)
        rest = tuple(card for card in made.cards if card is not first)
        made = made.model_copy(update={"cards": (first, *rest)})
    folder = cache_dir() / "preview" / subject.loaded.recipe.name
    page = write_preview(made, subject.plots(), folder, subject.repo_id)
    if _has_display():
        webbrowser.open(page.resolve().as_uri())
    output().data({"page": str(page)} if output().style == "json" else str(page))


def _has_display() -> bool:
    """Whether a browser has a screen to open on."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


@contextmanager
def _subject(
    target: str,
    repo_id: str | None,
    *,
    demo: bool,
    endpoint: str | None,
    data: LabelledData | None,
) -> Iterator[_Subject]:
    """What a recipe's stages have measured, or a bundle's records tell."""
    from hubkit.measuring import measure
    from hubkit.pipeline import running
    from hubkit.recorded import is_bundle, load_bundle, read_records

    if not is_bundle(target):
        with opened(target, demo=demo, endpoint=endpoint, data=data) as (run, loaded, origins):
            named = repo_id or loaded.recipe.publication.repo_id
            yield _Subject(run, loaded, measure(run, loaded, origins), named)
        return
    _refuse_for_bundle(target, demo=demo, dataset=data is not None)
    recorded = read_records(load_bundle(Path(target)), Path(target))
    assert recorded is not None  # else it were no bundle
    with running(endpoint=endpoint) as run:
        yield _of_records(run, recorded, repo_id)


def _of_records(run: Runner, recorded: Recorded, repo_id: str | None) -> _Subject:
    return _Subject(run, recorded.loaded, recorded.measured, repo_id or recorded.repo_id())


def _languages(recipe: Recipe, lang: str | None, *, all_langs: bool) -> tuple[str, ...] | None:
    """The languages to render in, those of the recipe first, so that each card has the name and
    the links that it would have on the Hub; None: those of the recipe."""
    from hubkit.i18n import languages

    if lang is None and not all_langs:
        return None
    own = recipe.publication.card_languages
    return (*own, *(c for c in languages() if c not in own and (all_langs or c == lang)))


def _refuse_unknown(lang: str | None) -> None:
    """Raise UsageError for a language without a catalogue, before anything is measured."""
    if lang is not None:
        from hubkit.i18n import language

        language(lang)


def _refuse_for_bundle(target: str, **given: bool) -> None:
    """Raise UsageError where the target is a bundle, and an option is not for bundles."""
    from hubkit.errors import UsageError
    from hubkit.recorded import is_bundle

    for name, there in given.items():
        if there and is_bundle(target):
            raise UsageError(
                f"{target} is a bundle, and its records say all: --{name} does not go with it",
                hint=f"Leave --{name} out, or give the recipe.",
            )
