"""What would keep a card from the Hub is told with the recipe, not after hours of measuring."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from hubkit.recipe import Recipe
from hubkit.recipe_file import load_recipe
from hubkit.recipe_publication import publication_faults
from tests.cards.examples import RECIPE, make_recipe


def recipe(task: str = "text-classification", **publication: object) -> Recipe:
    asked = {"question": "question", "context": "context"}
    other = {"labels": {}, "dataset": {"path": "a/b", "data_keys": asked, "ref_keys": ["answers"]}}
    return make_recipe(
        task=task,
        publication={"license": "mit", **publication},
        **(other if task == "question-answering" else {}),
    )


def faults(made: Recipe) -> dict[str, str]:
    return {".".join(map(str, fault.loc)): fault.what for fault in publication_faults(made)}


@pytest.mark.parametrize(
    ("publication", "key", "what"),
    [
        ({"license": "Apache 2.0"}, "license", "no licence Apache 2.0, did you mean apache-2.0?"),
        ({"license": "house rules"}, "license", "use other, with license_name and license_link"),
        ({"license": "other"}, "license_name", "say what it is called"),
        ({"license_name": "mine"}, "license_name", "with license: other only"),
        ({"license_link": "LICENSE"}, "license_link", "with license: other only"),
        (
            {"license": "other", "license_name": "mine", "license_link": "see below"},
            "license_link",
            "expected an http(s) address, or LICENSE",
        ),
        ({"languages": ["en", "jp"]}, "languages.1", "no language jp, did you mean ja?"),
        ({"languages": ["qq-DE"]}, "languages.0", "no language qq"),
        ({"widget": [{"text": " "}]}, "widget.0.text", "found none"),
        ({"widget": [{"text": "a", "context": "b"}]}, "widget.0.context", "takes text only"),
    ],
)
def test_what_the_hub_would_refuse(publication: dict[str, object], key: str, what: str) -> None:
    found = faults(recipe(**publication))
    assert list(found) == [f"publication.{key}"]
    assert what in found[f"publication.{key}"]


@pytest.mark.parametrize(
    "publication",
    [
        {},
        {"license": "other", "license_name": "mine", "license_link": "https://example.org/mine"},
        {"license": "other", "license_name": "mine", "license_link": "LICENSE.md"},
        {"license": "TODO-licence"},  # `recipe new` says so itself
        {"languages": ["no", "zh-Hant", "yue", "multilingual", "code"]},
        {"widget": [{"text": "Fine."}, {"text": "Bad.", "example_title": "Blame"}]},
    ],
)
def test_what_it_takes(publication: dict[str, object]) -> None:
    assert faults(recipe(**publication)) == {}


def test_a_question_needs_its_context() -> None:
    asked = recipe("question-answering", widget=[{"text": "Who?", "context": "Ada."}])
    assert faults(asked) == {}
    bare = recipe("question-answering", widget=[{"text": "Who?"}])
    assert list(faults(bare)) == ["publication.widget.0.context"]


def test_an_example_has_a_text() -> None:
    with pytest.raises(ValidationError, match="text"):
        recipe(widget=[{"example_title": "Praise"}])


def test_bibtex_is_told_with_its_line() -> None:
    card = {**RECIPE["card"], "bibtex": "% mine\n@misc{a, title = {A}"}  # type: ignore[dict-item]
    assert faults(make_recipe(card=card)) == {
        "card.bibtex": "line 2: @misc{a, title = {A}: the braces of this entry do not match"
    }


@pytest.mark.parametrize("demo", [False, True])
@pytest.mark.parametrize("name", ["distilbert-sst2", "distilbert-conll03"])
def test_the_shipped_recipes(name: str, demo: bool) -> None:
    shipped = load_recipe(name, demo=demo).recipe
    assert faults(shipped) == {}
    assert len(shipped.publication.widget) >= 2
    assert all(example.example_title for example in shipped.publication.widget)
