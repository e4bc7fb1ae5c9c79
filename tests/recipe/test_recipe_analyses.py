"""`analyses:` in a recipe: what it may say, and where its faults are."""

from __future__ import annotations

import pytest

from hubkit.recipe_analyses import entity_type, labels_meant
from tests.recipe.conftest import Faults, Load
from tests.recipe.test_recipe_check import NER, QA, VECTORS

SLICES = """\
analyses:
  group_columns: [country]
  slices:
    - {name: short, length: {at_most: 16}}
    - {name: good, label: POSITIVE}
    - {name: negation, pattern: '\\bnot\\b'}
"""


def test_a_sound_plan(load: Load) -> None:
    plan = load(more=SLICES).recipe.analyses
    assert plan.group_columns == ("country",)
    assert [one.name for one in plan.slices] == ["short", "good", "negation"]
    assert load().recipe.analyses.slices == ()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: good", "name: short", "23: analyses.slices[1].name: slices[0] is named short too"),
        ("name: good", "name: country=UK", "23: analyses.slices[1].name: country=UK is named like"),
        ("label: POSITIVE", "label: POSITVE", '23: analyses.slices[1].label: "POSITVE" is no label'
         " of the recipe, did you mean POSITIVE? (NEGATIVE, POSITIVE)"),
        ("[country]", "[country, country]",
         "20: analyses.group_columns[1]: country is listed twice"),
        ("[country]", "[text]", "20: analyses.group_columns[0]: the model is given the column"),
        ("{at_most: 16}", "{at_least: 129}",
         "22: analyses.slices[0].length.at_least: evaluation.max_length cuts at 128"),
        ("{at_most: 16}", "{at_least: 5, at_most: 4}",
         "22: analyses.slices[0].length: no row has at least 5 and at most 4 tokens"),
        ("{at_most: 16}", "{}", "22: analyses.slices[0].length: name at_least, at_most or both"),
        ("{at_most: 16}", "{at_least: 0}", "22: analyses.slices[0].length.at_least: expected at"),
        ("label: POSITIVE", "label: POSITIVE, pattern: x",
         "23: analyses.slices[1]: name one of length, label and pattern"),
        ("label: POSITIVE", "lable: POSITIVE", "23: analyses.slices[1].lable: unknown key, did"),
        ("'\\bnot\\b'", "'(not'", "24: analyses.slices[2].pattern: no regular expression: missing"),
    ],
)  # fmt: skip
def test_faults_name_file_line_and_key(faults: Faults, old: str, new: str, said: str) -> None:
    assert old in SLICES
    found = faults(more=SLICES.replace(old, new))
    assert found[0].startswith(f"r.yaml:{said}")


@pytest.mark.parametrize("changes", [QA, VECTORS])
def test_tasks_without_labels_have_no_label_slices(
    faults: Faults, changes: tuple[tuple[str, str], ...]
) -> None:
    (found,) = faults(*changes, more=SLICES)
    assert "slices[1].label: " in found
    assert "has no labels: choose rows by length or pattern" in found


def test_a_context_longer_than_an_input_is_read_all_the_same(load: Load) -> None:
    more = "analyses: {slices: [{name: long, length: {at_least: 900}}]}\n"
    assert load(*QA, more=more).recipe.analyses.slices[0].length is not None


def test_entity_types_are_labels_too(load: Load, faults: Faults) -> None:
    tags = (*NER, ("  0: NEGATIVE\n  1: POSITIVE\n", "  0: O\n  1: B-PER\n  2: I-PER\n"))
    for label in ("PER", "B-PER", "O"):
        assert load(*tags, more=SLICES.replace("POSITIVE", label)).recipe.analyses.slices
    (found,) = faults(*tags, more=SLICES.replace("POSITIVE", "LOC"))
    assert '"LOC" is no label of the recipe (O, PER, B-PER, I-PER)' in found


def test_the_labels_of_an_entity_type() -> None:
    labels = ("O", "B-PER", "I-PER", "B-LOC", "X-Y", "B-in-law")
    assert labels_meant("PER", labels) == ("B-PER", "I-PER")
    assert labels_meant("B-PER", labels) == ("B-PER",)
    assert labels_meant("in-law", labels) == ("B-in-law",)
    assert labels_meant("Y", labels) == ()
    assert entity_type("X-Y") == "X-Y"
