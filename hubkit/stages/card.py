"""card: the model card, a pure function of the recipe, the notes, the lock and the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from markupsafe import Markup
from pydantic import Field

from hubkit.cards.citation import citation_cff
from hubkit.cards.command import shipped_digests
from hubkit.cards.context import build_context
from hubkit.cards.environment import directed, render
from hubkit.cards.eval_results import eval_result_files
from hubkit.cards.front_matter import front_matter
from hubkit.cards.layout import CITATION, card_path
from hubkit.cards.lint import check_card
from hubkit.i18n import SOURCE
from hubkit.keys import digest_of_folder, digest_of_value
from hubkit.paths import templates_dir
from hubkit.recipe import Recipe
from hubkit.recipe_notes import NOTES, Translation
from hubkit.records import CardSet, CardText, Lock, Record, Report, Sha, TextFile
from hubkit.stage import Context, stage

# Stands for the author's notes while the rest is tidied, so that they reach the card byte for byte.
_NOTES = Markup("\ue000notes\ue000")


def templates_digest(folders: Sequence[Path] = ()) -> str:
    """The digest of the card templates and catalogues: an edited one makes another card."""
    own = templates_dir()
    return digest_of_value([digest_of_folder(f) for f in (*folders, own / "card", own / "locale")])


class CardInput(Record):
    """Everything a card is made from."""

    recipe: Recipe
    notes: str = ""  # notes.md, the author's own Markdown
    translations: dict[str, Translation] = Field(default_factory=dict)  # of it, by language
    lock: Lock
    report: Report
    repo_id: str
    languages: Annotated[tuple[str, ...], Field(min_length=1)] = (SOURCE,)  # README.md's first
    folders: tuple[str, ...] = ()  # of templates that go before hubkit's
    named: str | None = None  # the name of that among them which is an option, not the recipe's
    templates: str = Field(default_factory=templates_digest)
    # Whether a name is enough to find the recipe again.
    shipped: tuple[Sha, ...] = Field(default_factory=shipped_digests)


def render_card(
    recipe: Recipe,
    notes: str,
    lock: Lock,
    report: Report,
    repo_id: str,
    *,
    shipped: tuple[str, ...] | None = None,
    translation: Translation | None = None,
    language: str = SOURCE,
    languages: Sequence[str] = (),
    folders: tuple[Path, ...] = (),
    named: str | None = None,
) -> str:
    """A card of a publication as Markdown, ending in one line break; README.md with its front
    matter.

    Reads no clock, no network and no model. `shipped`: digests of the recipes that can be published
    by name, by default those of this hubkit. `languages`: of all the publication's cards, the
    primary one, which is README.md, first; by default this one alone. `folders`: templates that go
    before hubkit's own, `named`: what --templates calls one of them. Raises TemplateError with
    template and line, HubkitError where the Hub would refuse the metadata.
    """
    context = build_context(
        recipe,
        notes,
        lock,
        report,
        repo_id,
        shipped_digests() if shipped is None else shipped,
        translation=translation,
        code=language,
        languages=languages,
        templates=named,
    )
    names = context.names() | ({"notes": _NOTES} if context.notes else {})
    body = _tidy(render(f"card/{recipe.task}.md.j2", names, folders))
    body = body.replace(_NOTES, directed(context.language, context.notes))
    if language != next(iter(languages), language):
        return body
    text = f"{front_matter(context)}\n{body}"
    check_card(text)
    return text


def _files(given: CardInput) -> tuple[TextFile, ...]:
    """The author's notes as they were used, so that whoever has the repository can make its cards
    again."""
    notes = [TextFile(path=NOTES, text=given.notes)] if given.notes else []
    notes += [
        TextFile(path=f"notes.{code}.md", text=given.translations[code].file)
        for code in given.languages
        if code in given.translations
    ]
    context = build_context(
        given.recipe, given.notes, given.lock, given.report, given.repo_id, given.shipped
    )
    cited = citation_cff(context)
    citation = [TextFile(path=CITATION, text=cited)] if cited else []
    return (*notes, *citation, *eval_result_files(context))


def _tidy(body: str) -> str:
    # Blocks that print nothing leave empty lines behind; code blocks keep theirs.
    lines: list[str] = []
    fence = ""
    for line in body.splitlines():
        mark = line[: len(line) - len(line.lstrip("`"))]
        if len(mark) >= 3 and not fence:
            fence = mark
        elif fence and line.strip() == fence:
            fence = ""
        kept = line if fence else line.rstrip()
        if fence or kept or (lines and lines[-1]):
            lines.append(kept)
    return "\n".join(lines).strip("\n") + "\n"


@stage(
    "card",
    version=3,
    kind="pure",
    takes=CardInput,
    gives=CardSet,
    tools=("jinja2", "huggingface_hub", "babel"),
)
def card(given: CardInput, ctx: Context) -> CardSet:
    """The card in each of its languages, and the files that are made from the same records."""
    primary = given.languages[0]
    return CardSet(
        files=_files(given),
        cards=tuple(
            CardText(
                path=card_path(code, primary=primary),
                language=code,
                text=render_card(
                    given.recipe,
                    given.notes,
                    given.lock,
                    given.report,
                    given.repo_id,
                    shipped=given.shipped,
                    translation=given.translations.get(code),
                    language=code,
                    languages=given.languages,
                    folders=tuple(map(Path, given.folders)),
                    named=given.named,
                ),
            )
            for code in given.languages
        ),
    )
