"""What a recipe says of its card, and what counts as said."""

from __future__ import annotations

import pytest

from hubkit.cards.completeness import (
    NOTES_KEY,
    completeness,
    is_said,
    mandatory_keys,
    meaning,
)
from hubkit.recipe import Recipe
from hubkit.recipe_card import CardData, Link
from hubkit.recipe_file import load_recipe, shipped_recipes


def _with(recipe: Recipe, key: str, value: object) -> Recipe:
    """The recipe with another value for a key below `card:`."""
    card = recipe.card.model_dump()
    *parts, last = key.removeprefix("card.").split(".")
    holder = card
    for part in parts:
        holder = holder[part]
    holder[last] = value
    return recipe.model_copy(update={"card": CardData.model_validate(card)})


@pytest.fixture(name="recipe", scope="module")
def _recipe() -> Recipe:
    return load_recipe("distilbert-sst2").recipe


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", shipped_recipes())
def test_the_shipped_recipes_say_all(name: str, demo: bool) -> None:
    loaded = load_recipe(name, demo=demo)
    found = completeness(loaded.recipe, loaded.notes)
    assert found.complete
    assert found.total - found.said <= 2  # of what the machine has words for


def test_every_key_of_the_card_is_looked_at() -> None:
    fields = {f.key for s in completeness(_bare(), "").sections for f in s.fields}
    keys = set()
    for name, field in CardData.model_fields.items():
        below = getattr(field.annotation, "model_fields", None)
        keys |= {f"card.{name}.{part}" for part in below} if below else {f"card.{name}"}
    comments = {"card.analyses.unitary", "card.analyses.intersectional"}  # the slices are measured
    assert fields == (keys - comments) | {NOTES_KEY}


def _bare() -> Recipe:
    return load_recipe("distilbert-sst2").recipe.model_copy(update={"card": CardData()})


def test_a_recipe_that_says_nothing_misses_all_that_is_mandatory() -> None:
    found = completeness(_bare(), " \n")
    assert found.missing == mandatory_keys()
    assert found.said == 0
    assert not found.complete


def test_the_sections_are_those_of_the_card_in_its_order() -> None:
    assert [section.section for section in completeness(_bare(), "").sections] == [
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


@pytest.mark.parametrize("key", mandatory_keys())
def test_a_mandatory_field_that_is_left_out_is_named(recipe: Recipe, key: str) -> None:
    many = key in ("card.details.authors", "card.details.resources", "card.details.contact")
    found = completeness(_with(recipe, key, () if many else None), "notes")
    assert found.missing == (key,)
    (section,) = (one for one in found.sections if one.missing)
    assert (section.said, section.total) == (section.total - 1, len(section.fields))
    assert meaning(key)


def test_an_optional_field_is_no_fault_and_lowers_the_score(recipe: Recipe) -> None:
    before = completeness(recipe, "notes")
    found = completeness(_with(recipe, "card.metrics.uncertainty", None), "")
    assert found.complete
    assert (found.said, found.total) == (before.said - 2, before.total)
    left_out = {s.section: s.left_out for s in found.sections}
    assert left_out["notes"] == (NOTES_KEY,)
    assert left_out["metrics"] == ("card.metrics.uncertainty",)


@pytest.mark.parametrize(
    "text",
    [
        *("", " \n\t", "-", "–", "…", "?", "**-**", "_"),
        *(
            "TODO",
            "todo",
            "To do",
            "TODO: ask",
            "The judges are TODO",
            "TBD",
            "tba.",
            "FIXME",
            "xxx",
        ),
        *("n/a", "N/A", "N. A.", "na", "to be determined", "Coming soon!", "Lorem ipsum dolor"),
        *("<!-- for whom? -->", "<!-- never closed", "待定"),
    ],
)
def test_what_holds_a_place_says_nothing(recipe: Recipe, text: str) -> None:
    assert not is_said(text)
    found = completeness(_with(recipe, "card.intended_use.primary_users", text), "notes")
    assert found.missing == ("card.intended_use.primary_users",)


@pytest.mark.parametrize(
    "text",
    [
        *("None", "None known.", "Unknown.", "1", "无", "Нет", "なし", "NASA", "Nagoya", "Tbilisi"),
        *("Todo lo que se sabe", "to do good", "Texts about films<!-- which? -->", "todos"),
    ],
)
def test_what_says_that_there_is_nothing_says_something(text: str) -> None:
    assert is_said(text)


def test_of_a_list_one_item_is_enough() -> None:
    assert is_said(("TODO: who?", "A team")) is True
    assert is_said(("TODO: who?", "  ")) is False
    assert is_said(()) is False
    assert is_said((Link(title="TBD", url="https://example.org"),)) is False
    assert is_said((Link(title="The paper", url="https://example.org"),)) is True
