"""How much of a card is said: what only its author knows, section by section.

Sections and rows are those of the reference card (Intel's of INT8 DistilBERT on SST-2), which are
those of Mitchell et al. 2019, "Model Cards for Model Reporting".

Mandatory is every row of it that no machine can write: who made the model, when, which version and
what kind of model, what to read and whom to ask; the intended use; the factors; what the data is
and why it was chosen; the ethical considerations; the caveats; what to cite. The reference leaves
"-" in some of them (environment, use cases); an author who knows nothing says so ("None known"),
because a reader cannot tell "nothing" from "not looked at".

Optional is what has something to stand in for it when it is left out: the title (made of the
model's name), the decision thresholds (those of the task), words on uncertainty beside the measured
intervals, and the notes that open the card.

Not counted is what is written from records (how to load it, the scores, the preprocessing, the
slices, on which an author may comment), and the licence, without which there is no recipe.
"""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel

from hubkit.recipe import Recipe
from hubkit.recipe_card import CardData, Link
from hubkit.record_base import Record

Section = Literal[
    "notes",
    "model_details",
    "intended_use",
    "how_to_load",
    "factors",
    "metrics",
    "data",
    "analyses",
    "ethics",
    "caveats",
    "bibtex",
]
# In the order of the card. Section -> keys below `card:`, each with whether it is mandatory.
_FIELDS: dict[Section, dict[str, bool]] = {
    "notes": {},
    "model_details": {
        "details.title": False,
        "details.authors": True,
        "details.organisation": True,
        "details.date": True,
        "details.version": True,
        "details.type": True,
        "details.resources": True,
        "details.contact": True,
    },
    "intended_use": {
        "intended_use.primary_uses": True,
        "intended_use.primary_users": True,
        "intended_use.out_of_scope": True,
    },
    "how_to_load": {},
    "factors": {
        "factors.groups": True,
        "factors.instrumentation": True,
        "factors.environment": True,
        "factors.card_prompts": True,
    },
    "metrics": {"metrics.decision_thresholds": False, "metrics.uncertainty": False},
    "data": {"data.datasets": True, "data.motivation": True},
    "analyses": {},
    "ethics": {
        "ethics.data": True,
        "ethics.human_life": True,
        "ethics.mitigations": True,
        "ethics.risks_and_harms": True,
        "ethics.use_cases": True,
    },
    "caveats": {"caveats": True},
    "bibtex": {"bibtex": True},
}
NOTES_KEY = "notes.md"
# What stands where something is still to be said; none of these says that there is nothing.
_HOLDS_A_PLACE = re.compile(
    r"(?:(?:tb[acd]|fix[\W_]?me|xxx)\b.*|to[\W_]?do\W*|to[\W_]?do:.*|.*\b(?-i:TODO)\b.*"
    r"|n\s*[./]\s*a\.?|na|to be (?:added|announced|completed|defined|determined|done|written)\W*"
    r"|coming soon\W*|fill (?:this )?in\W*|lorem ipsum\b.*|待定|待补充"
    r"|[\W_]*)",
    re.IGNORECASE | re.DOTALL,
)
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


class Field(Record):
    """One thing that only the author can say. `key`: that of the recipe, or notes.md."""

    key: str
    mandatory: bool
    said: bool


class SectionScore(Record):
    """A section of the card; one without fields is written by the machine alone."""

    section: Section
    fields: tuple[Field, ...]

    @property
    def said(self) -> int:
        """Fields that are said, mandatory and optional."""
        return sum(field.said for field in self.fields)

    @property
    def total(self) -> int:
        """Fields that there are, mandatory and optional."""
        return len(self.fields)

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of the mandatory fields that are not said."""
        return tuple(field.key for field in self.fields if field.mandatory and not field.said)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Keys of the optional fields that are not said."""
        return tuple(field.key for field in self.fields if not (field.mandatory or field.said))


class Completeness(Record):
    """Every section of the card in its order, and what of it is said."""

    sections: tuple[SectionScore, ...]

    @property
    def said(self) -> int:
        """Fields that are said."""
        return sum(section.said for section in self.sections)

    @property
    def total(self) -> int:
        """Fields that there are."""
        return sum(section.total for section in self.sections)

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys of the mandatory fields that are not said, in the order of the card."""
        return tuple(key for section in self.sections for key in section.missing)

    @property
    def complete(self) -> bool:
        """Whether nothing mandatory is missing."""
        return not self.missing


def completeness(recipe: Recipe, notes: str) -> Completeness:
    """What a recipe and its notes say of what only the author knows."""
    sections = []
    for section, keys in _FIELDS.items():
        fields = [
            Field(key=f"card.{path}", mandatory=mandatory, said=is_said(_value(recipe.card, path)))
            for path, mandatory in keys.items()
        ]
        if section == "notes":
            fields.append(Field(key=NOTES_KEY, mandatory=False, said=is_said(notes)))
        sections.append(SectionScore(section=section, fields=tuple(fields)))
    return Completeness(sections=tuple(sections))


def is_said(value: object) -> bool:
    """Whether a field of the card says something: not white space, nor TODO, TBD, "-" or "n/a"; of
    a list, any of its items."""
    if isinstance(value, str):
        return not _HOLDS_A_PLACE.fullmatch(_COMMENT.sub("", value).strip())
    if isinstance(value, Link):
        return is_said(value.title)
    return isinstance(value, tuple) and any(is_said(item) for item in value)


def mandatory_keys() -> tuple[str, ...]:
    """Keys of the recipe that a complete card needs, in the order of the card."""
    return tuple(
        f"card.{path}" for keys in _FIELDS.values() for path, mandatory in keys.items() if mandatory
    )


def meaning(key: str) -> str:
    """What a key below `card:` is to say, in the words of the recipe's schema."""
    model: type[BaseModel] = CardData
    *parts, last = key.removeprefix("card.").split(".")
    for part in parts:
        below = model.model_fields[part].annotation
        assert isinstance(below, type)
        assert issubclass(below, BaseModel)
        model = below
    return model.model_fields[last].description or ""


def _value(card: CardData, path: str) -> object:
    found: object = card
    for part in path.split("."):
        found = getattr(found, part)
    return found
