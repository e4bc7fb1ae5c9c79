"""card: the model card, a pure function of the recipe, the notes, the lock and the report."""

from __future__ import annotations

from markupsafe import Markup
from pydantic import Field

from hubkit.cards.command import shipped_digests
from hubkit.cards.context import build_context
from hubkit.cards.environment import render
from hubkit.cards.front_matter import front_matter
from hubkit.keys import digest_of_folder
from hubkit.paths import templates_dir
from hubkit.recipe import Recipe
from hubkit.records import CardText, Lock, Record, Report, Sha
from hubkit.stage import Context, stage

# Stands for the author's notes while the rest is tidied, so that they reach the card byte for byte.
_NOTES = Markup("\ue000notes\ue000")


def templates_digest() -> str:
    """The digest of the card templates: an edited template makes another card."""
    return digest_of_folder(templates_dir() / "card")


class CardInput(Record):
    """Everything a card is made from."""

    recipe: Recipe
    notes: str = ""  # notes.md, the author's own Markdown
    lock: Lock
    report: Report
    repo_id: str
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
) -> str:
    """The README.md of a publication: front matter and Markdown, ending in one line break.

    Reads no clock, no network and no model. `shipped`: digests of the recipes that can be published
    by name, by default those of this hubkit. Raises TemplateError with template and line.
    """
    known = shipped_digests() if shipped is None else shipped
    context = build_context(recipe, notes, lock, report, repo_id, known)
    names = context.names() | ({"notes": _NOTES} if context.notes else {})
    body = _tidy(render(f"card/{recipe.task}.md.j2", names))
    return f"{front_matter(context)}\n{body.replace(_NOTES, context.notes)}"


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
    version=2,
    kind="pure",
    takes=CardInput,
    gives=CardText,
    tools=("jinja2", "huggingface_hub"),
)
def card(given: CardInput, ctx: Context) -> CardText:
    """The English card."""
    text = render_card(
        given.recipe,
        given.notes,
        given.lock,
        given.report,
        given.repo_id,
        shipped=given.shipped,
    )
    return CardText(text=text)
