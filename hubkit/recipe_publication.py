"""What the Hub or a program would refuse in the card of a recipe: told before anything is measured.

The card itself is looked at again by `hubkit.cards.lint`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from hubkit import hub_terms
from hubkit.i18n import languages
from hubkit.nearest import did_you_mean, nearest
from hubkit.recipe import Recipe
from hubkit.recipe_bibtex import problems
from hubkit.recipe_yaml import Fault, Loc

_PLACEHOLDER = "TODO"  # what `recipe new` leaves to the author, who is told so elsewhere


def publication_faults(recipe: Recipe) -> Iterator[Fault]:
    """Licence, languages, widget examples and BibTeX that will not do, each at its key."""
    yield from _license(recipe)
    yield from _languages(recipe)
    yield from _card_languages(recipe)
    yield from _widget(recipe)
    for problem in problems(recipe.card.bibtex) if recipe.card.bibtex is not None else ():
        yield Fault(("card", "bibtex"), f"line {problem.line}: {problem.what}")


def _card_languages(recipe: Recipe) -> Iterator[Fault]:
    given, known = recipe.publication.card_languages, languages()
    for at, code in enumerate(given):
        loc: Loc = ("publication", "card_languages", at)
        if code not in known:
            guess = did_you_mean(code, known)
            yield Fault(loc, f"no card can be in {code}{guess}: there are {', '.join(known)}")
        elif code in given[:at]:
            yield Fault(loc, f"{code} is named twice")


def _license(recipe: Recipe) -> Iterator[Fault]:
    given = recipe.publication
    loc: Loc = ("publication", "license")
    if given.license not in hub_terms.LICENSES and not given.license.startswith(_PLACEHOLDER):
        near = nearest(given.license, hub_terms.LICENSES)
        cure = f"did you mean {near}?" if near else "use other, with license_name and license_link"
        yield Fault(loc, f"the Hub knows no licence {given.license}, {cure}")
    if given.license == "other" and not given.license_name:
        what = "missing key: the Hub does not know the licence, so say what it is called"
        yield Fault(("publication", "license_name"), what)
    for key, value in (("license_name", given.license_name), ("license_link", given.license_link)):
        if value and given.license != "other":
            what = f"the Hub shows it with license: other only, and the licence is {given.license}"
            yield Fault(("publication", key), what)
    link = given.license_link
    if link and not hub_terms.LICENSE_LINK.match(link):
        what = f"expected an http(s) address, or LICENSE for a file of the model, found {link}"
        yield Fault(("publication", "license_link"), what)


def _languages(recipe: Recipe) -> Iterator[Fault]:
    known = hub_terms.ISO_639_1 | hub_terms.SPECIAL_LANGUAGES
    for index, language in enumerate(recipe.publication.languages):
        code = language.split("-")[0]
        if len(code) == 2 and code not in known:
            meant = hub_terms.COUNTRIES.get(code)
            near = f", did you mean {meant}?" if meant else ""
            what = f"ISO 639 has no language {code}{near}"
            yield Fault(("publication", "languages", index), what)


def _widget(recipe: Recipe) -> Iterator[Fault]:
    for index, example in enumerate(recipe.publication.widget):
        loc: Loc = ("publication", "widget", index)
        for key, value in example.model_dump(exclude_none=True).items():
            if not re.search(r"\S", value):
                yield Fault((*loc, key), "expected text, found none")
        if recipe.task == "question-answering" and example.context is None:
            what = "missing key: the text in which the question is to be answered"
            yield Fault((*loc, "context"), what)
        if recipe.task != "question-answering" and example.context is not None:
            what = f"{recipe.task} takes text only: the Hub shows a context for questions"
            yield Fault((*loc, "context"), what)
