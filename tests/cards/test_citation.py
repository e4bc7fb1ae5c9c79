"""CITATION.cff says what the recipe says, in the form of the Citation File Format 1.2.0."""

from __future__ import annotations

import re

import pytest
import yaml

from hubkit.cards.citation import citation_cff
from hubkit.cards.context import CardContext, build_context
from hubkit.hub_terms import SPDX
from hubkit.records import Lock
from tests.cards.examples import RECIPE, REPO_ID, make_lock, make_recipe, make_report

REQUIRED = {"cff-version", "message", "title", "authors"}
# Of the keys of the format, those that a published model can have.
KNOWN = REQUIRED | {"type", "version", "date-released", "license", "license-url", "url"}


def context(
    details: dict[str, object] | None = None,
    publication: dict[str, object] | None = None,
    lock: Lock | None = None,
) -> CardContext:
    card = RECIPE["card"]
    assert isinstance(card, dict)
    changed = {**card, "details": {**card["details"], **(details or {})}}
    said = {"license": "apache-2.0", **(publication or {})}
    recipe = make_recipe(card=changed, publication=said)
    return build_context(recipe, "", lock or make_lock(), make_report(), REPO_ID)


def citation(
    details: dict[str, object] | None = None,
    publication: dict[str, object] | None = None,
    lock: Lock | None = None,
) -> dict[str, object]:
    text = citation_cff(context(details, publication, lock))
    assert text is not None
    data = yaml.safe_load(text)
    assert isinstance(data, dict)
    check(data)
    return data


def check(data: dict[str, object]) -> None:
    """What the format's schema asks of these keys."""
    assert set(data) >= REQUIRED
    assert set(data) <= KNOWN
    assert data["cff-version"] == "1.2.0"
    assert data.get("type", "software") in ("software", "dataset")
    authors = data.pop("authors")
    assert isinstance(authors, list)
    assert authors
    assert all(set(author) == {"name"} and author["name"].strip() for author in authors)
    assert len({author["name"] for author in authors}) == len(authors)
    assert all(isinstance(value, str) and value.strip() for value in data.values())
    if "license" in data:
        assert data["license"] in SPDX.values()
    if "date-released" in data:
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(data["date-released"]))
    data["authors"] = authors


def test_what_the_recipe_says() -> None:
    assert citation() == {
        "cff-version": "1.2.0",
        "message": "If you use this model, please cite it as said here.",
        "title": "Tiny sentiment, INT8",
        "type": "software",
        "authors": [{"name": "A. Author"}, {"name": "B. Author"}],
        "version": "1.0",
        "date-released": "2026-11-20",
        "license": "Apache-2.0",
        "url": f"https://huggingface.co/{REPO_ID}",
    }


def test_the_same_records_give_the_same_bytes() -> None:
    assert citation_cff(context()) == citation_cff(context())


@pytest.mark.parametrize("authors", [[], [" "]])
def test_nobody_is_made_up(authors: list[str]) -> None:
    assert citation_cff(context({"authors": authors})) is None


@pytest.mark.parametrize("date", [None, "November 2026", "2026-13-01", "2026-11-20 or so"])
def test_a_date_in_words_is_no_date(date: str | None) -> None:
    assert "date-released" not in citation({"date": date})


def test_a_version_that_looks_like_a_number_stays_text() -> None:
    assert citation({"version": "1.10"})["version"] == "1.10"
    assert "version" not in citation({"version": None})


def test_licences_that_spdx_does_not_have() -> None:
    assert citation(publication={"license": "pddl"})["license"] == "PDDL-1.0"
    custom = {"license": "other", "license_name": "mine", "license_link": "https://example.org/l"}
    found = citation(publication=custom)
    assert "license" not in found
    assert found["license-url"] == "https://example.org/l"
    assert "license-url" not in citation(publication={**custom, "license_link": "LICENSE"})
    assert "license" not in citation(publication={"license": "llama3.1"})


def test_an_address_that_only_this_machine_knows_is_left_out() -> None:
    assert "url" not in citation(lock=make_lock(demo=True))


@pytest.mark.parametrize(
    "hostile",
    [
        "x\nauthors:\n- name: Mallory",
        "a: b # c",
        "'\"",
        "- x",
        "{x}",
        "&a *a",
        "!!python/name:os.system",
        "yes",
        "2026-11-20",
        "1e3",
        "\u2028---\u2028",
        "...",
    ],
)
def test_hostile_words_stay_values(hostile: str) -> None:
    words = " ".join(hostile.split())
    found = citation({"title": hostile, "authors": [hostile, "B"], "version": hostile})
    assert found["title"] == words
    assert found["version"] == words
    assert found["authors"] == [{"name": words}, {"name": "B"}]


def test_an_author_named_twice_is_one() -> None:
    assert citation({"authors": ["A", "B", " A "]})["authors"] == [{"name": "A"}, {"name": "B"}]
