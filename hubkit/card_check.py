"""check_card(): what a card lacks, and whether it is what its records make of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hubkit.cards.completeness import Completeness, completeness
from hubkit.gate import Missing, missing_fields
from hubkit.recipe_file import LoadedRecipe, load_recipe
from hubkit.recorded import (
    CARD_FILE,
    LOCK_FILE,
    Recorded,
    is_bundle,
    load_bundle,
    read_records,
)
from hubkit.records import CardSet, Record

Render = Callable[[Recorded], CardSet]


class Difference(Record):
    """A card that is not what its records make: the first line (from 1) that differs, as it is and
    as it is rendered. `found` None: the file ends before it, or is not there; `wanted` None: the
    card ends before it, or there is none in that language."""

    path: str
    line: int
    found: str | None
    wanted: str | None


class Finding(Record):
    """A fault of a file, in words."""

    path: str
    what: str


class Checked(Record):
    """What `hubkit card --check` found. `cards`: those that were rendered anew and compared; none
    where there are no records. `warnings`: what the Hub takes, and does not do what it is for."""

    completeness: Completeness
    missing: tuple[Missing, ...]
    cards: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    findings: tuple[Finding, ...] = ()
    warnings: tuple[Finding, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.missing or self.differences or self.findings)


def check_card(target: str, *, demo: bool, render: Render) -> Checked:
    """Check a recipe, or a bundle, and where there are records also the cards made from them.

    `render` makes the cards of records; it is called only where there are some. Raises RecipeError,
    DataError.
    """
    loaded = load_bundle(Path(target)) if is_bundle(target) else load_recipe(target, demo=demo)
    said = completeness(loaded.recipe, loaded.notes)
    found = Checked(completeness=said, missing=missing_fields(loaded, said))
    recorded = read_records(loaded, loaded.folder)
    if recorded is None or not _of_this(loaded, recorded, bundle=is_bundle(target)):
        return found
    cards = render(recorded)
    return found.model_copy(
        update={
            "cards": tuple(card.path for card in cards.cards),
            "differences": differences(recorded.cards, cards),
            "findings": (*_stale(recorded), *_lint(recorded, "error")),
            "warnings": _lint(recorded, "warning"),
        }
    )


def differences(there: dict[str, str], cards: CardSet) -> tuple[Difference, ...]:
    """For each card that is not, byte for byte, as it is rendered, where that begins."""
    wanted = {card.path: card.text for card in cards.cards}
    paths = (*wanted, *(path for path in there if path not in wanted))
    found = (_first(path, there.get(path), wanted.get(path)) for path in paths)
    return tuple(one for one in found if one is not None)


def _first(path: str, found: str | None, wanted: str | None) -> Difference | None:
    if found == wanted:
        return None
    # Only \n ends a line here: a text may hold other characters that Python takes for line ends.
    ours, theirs = ((text or "").split("\n") if text else [] for text in (wanted, found))
    line = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
    if line is None:
        line = min(len(ours), len(theirs))
    return Difference(
        path=path,
        line=line + 1,
        found=theirs[line] if line < len(theirs) else None,
        wanted=ours[line] if line < len(ours) else None,
    )


def _of_this(loaded: LoadedRecipe, recorded: Recorded, *, bundle: bool) -> bool:
    """Beside a recipe lie the records of the recipe or those of its demo."""
    return bundle or recorded.measured.material.lock.demo == loaded.demo


def _stale(recorded: Recorded) -> tuple[Finding, ...]:
    made_from = recorded.measured.material.lock.recipe_digest
    if made_from == recorded.loaded.digest:
        return ()
    what = (
        f"written for another recipe (digest {made_from[:12]}, and this one's is"
        f" {recorded.loaded.digest[:12]})"
    )
    return (Finding(path=LOCK_FILE, what=what),)


def _lint(recorded: Recorded, severity: str) -> tuple[Finding, ...]:
    """What the Hub would say of the metadata of README.md."""
    from hubkit.cards.lint import lint

    text = recorded.cards.get(CARD_FILE)
    problems = () if text is None else lint(text)
    return tuple(
        Finding(path=CARD_FILE, what=str(problem))
        for problem in problems
        if problem.severity == severity
    )
