"""`hubkit card --check` where records lie beside the recipe: cards are made anew and compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hubkit.card_check import Checked, check_card, differences
from hubkit.cards.completeness import mandatory_keys
from hubkit.errors import DataError, GateError, RecipeError
from hubkit.gate import refuse_incomplete
from hubkit.i18n import languages
from hubkit.recipe import Gates, Recipe
from hubkit.recipe_file import digest_of_recipe, load_recipe
from hubkit.recorded import Recorded, is_bundle, load_bundle, read_records
from hubkit.records import CardSet, CardText
from hubkit.stage import Context
from hubkit.stages.bundle import recipe_json
from hubkit.stages.card import CardInput, card
from hubkit.stages.report import record_json
from hubkit.store import Store
from tests.cards.examples import NOTES, REPO_ID, make_lock, make_recipe, make_report

Write = Callable[..., Path]
Render = Callable[[Recorded], CardSet]


@pytest.fixture(name="render")
def _render(tmp_path: Path) -> Render:
    def render(recorded: Recorded) -> CardSet:
        given = CardInput(
            recipe=recorded.loaded.recipe,
            notes=recorded.loaded.notes,
            translations=dict(recorded.loaded.translations),
            lock=recorded.measured.material.lock,
            report=recorded.measured.report,
            repo_id=recorded.repo_id() or "none/named",
            languages=recorded.languages(),
        )
        return card(given, Context(Store(tmp_path / "store"), tmp_path))

    return render


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Write:
    """A bundle without its weights, with its card in some languages."""

    def write(*codes: str, recipe: Recipe | None = None, **changes: object) -> Path:
        used = recipe or make_recipe(**changes)
        lock = make_lock(recipe_digest=digest_of_recipe(used))
        folder = tmp_path / "bundle"
        folder.mkdir()
        given = CardInput(
            recipe=used,
            notes=NOTES,
            lock=lock,
            report=make_report(),
            repo_id=REPO_ID,
            languages=codes or ("en",),
        )
        made = card(given, Context(Store(tmp_path / "store"), tmp_path))
        texts = {one.path: one.text for one in made.cards}
        texts |= {
            "recipe.json": recipe_json(used, lock),
            "lock.json": record_json(lock),
            "results.json": record_json(make_report()),
            "notes.md": NOTES,
            "SHA256SUMS": "",
        }
        for name, text in texts.items():
            (folder / name).write_bytes(text.encode())
        return folder

    return write


def _never(recorded: Recorded) -> CardSet:
    raise AssertionError("there are no records to render")


def test_what_a_bundle_was_made_of_makes_its_cards_again(write: Write, render: Render) -> None:
    every = ("en", *(code for code in languages() if code != "en"))
    folder = write(*every)
    assert is_bundle(str(folder))
    found = check_card(str(folder), demo=False, render=render)
    assert found.differences == ()
    assert found.findings == ()
    assert len(found.cards) == len(every)


def test_a_number_that_was_edited_is_found(write: Write, render: Render) -> None:
    folder = write("en", "de")
    path = folder / "README.de.md"
    lines = path.read_text("utf-8").split("\n")
    number = next(i for i, line in enumerate(lines) if "0,9" in line or "0.9" in line)
    edited = lines[number].replace("0,9", "0,99").replace("0.9", "0.99")
    path.write_text("\n".join([*lines[:number], edited, *lines[number + 1 :]]), encoding="utf-8")
    (one,) = _checked(folder, render).differences
    assert (one.path, one.line) == ("README.de.md", number + 1)
    assert (one.found, one.wanted) == (edited, lines[number])


def test_a_card_that_is_gone_is_found(write: Write, render: Render) -> None:
    folder = write("en")
    (folder / "README.md").unlink()
    (one,) = _checked(folder, render).differences
    assert (one.path, one.found) == ("README.md", None)


def test_a_recipe_that_was_edited_afterwards_is_found(write: Write, render: Render) -> None:
    folder = write("en")
    path = folder / "recipe.json"
    text = path.read_text("utf-8")
    path.write_text(text.replace('"apache-2.0"', '"mit"'), encoding="utf-8")
    found = _checked(folder, render)
    assert [one.path for one in found.findings] == ["lock.json"]
    assert found.differences[0].found == "license: apache-2.0"
    assert found.differences[0].wanted == "license: mit"


def test_metadata_that_the_hub_refuses_is_found(write: Write, render: Render) -> None:
    folder = write("en")
    path = folder / "README.md"
    text = path.read_text("utf-8")
    path.write_text(text.replace("license: apache-2.0", "license: apache", 1), encoding="utf-8")
    found = _checked(folder, render)
    assert any("license" in one.what for one in found.findings)
    assert not found.passes


def _checked(folder: Path, render: Render) -> Checked:
    found = check_card(str(folder), demo=False, render=render)
    assert not found.passes
    return found


def test_the_records_of_the_demo_are_not_those_of_the_recipe(write: Write, tmp_path: Path) -> None:
    recipe = write("en")
    shipped = load_recipe("distilbert-sst2").path.read_bytes()
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "recipe.yaml").write_bytes(shipped)
    demo = make_lock(demo=True)
    (folder / "lock.json").write_text(record_json(demo), encoding="utf-8")
    (folder / "results.json").write_bytes((recipe / "results.json").read_bytes())
    assert check_card(str(folder), demo=False, render=_never).cards == ()


def test_records_that_cannot_be_read(write: Write) -> None:
    folder = write("en")
    (folder / "results.json").write_text('{"schema": 1}')
    with pytest.raises(DataError, match=r"results\.json: not a results\.json of this hubkit"):
        check_card(str(folder), demo=False, render=_never)


def test_a_recipe_of_a_bundle_that_is_none(write: Write) -> None:
    folder = write("en")
    path = folder / "recipe.json"
    path.write_text(path.read_text().replace('"license"', '"licence"'))
    with pytest.raises(RecipeError, match="did you mean license"):
        check_card(str(folder), demo=False, render=_never)


def test_a_bundle_of_what_was_local_needs_no_local_files(write: Write) -> None:
    recipe = make_recipe()
    local = Recipe.model_validate(
        recipe.model_dump(by_alias=True) | {"base": {"source": "local", "path": "gone"}}
    )
    loaded = load_bundle(write("en", recipe=local))
    assert loaded.recipe.base.source == "local"
    assert loaded.notes == NOTES


def test_the_repository_is_the_one_that_the_card_names(write: Write) -> None:
    folder = write("en")
    recorded = read_records(load_bundle(folder), folder)
    assert recorded is not None
    assert recorded.repo_id() == REPO_ID


def test_where_a_text_ends_early() -> None:
    cards = CardSet(cards=(CardText(text="one\ntwo\n"),))
    (short,) = differences({"README.md": "one\n"}, cards)
    assert (short.line, short.found, short.wanted) == (2, "", "two")
    (cut,) = differences({"README.md": "one\ntwo"}, cards)
    assert (cut.line, cut.found, cut.wanted) == (3, None, "")
    (more,) = differences({"README.md": "one\ntwo\n", "README.zh.md": "x"}, cards)
    assert (more.path, more.wanted) == ("README.zh.md", None)


def test_the_gate_wants_a_whole_card_where_the_recipe_says_so(tmp_path: Path) -> None:
    shipped = load_recipe("distilbert-sst2").path.read_text("utf-8")
    without = shipped.split("\ncard:")[0] + "\n"
    path = tmp_path / "recipe.yaml"
    path.write_text(without, encoding="utf-8")
    refuse_incomplete(load_recipe(str(path)))  # it was not asked for
    path.write_text(without.replace("gates:\n", "gates:\n  complete_card: true\n"), "utf-8")
    loaded = load_recipe(str(path))
    assert loaded.recipe.gates == Gates(
        **{**loaded.recipe.gates.model_dump(), "complete_card": True}
    )
    with pytest.raises(GateError) as error:
        refuse_incomplete(loaded)
    lines = error.value.message.splitlines()
    assert len(lines) == 1 + len(mandatory_keys())
    for key in mandatory_keys():
        assert f": {key}: not said: " in error.value.message
    assert error.value.exit_code == 3
    whole = shipped.replace("gates:\n", "gates:\n  complete_card: true\n", 1)
    path.write_text(whole, encoding="utf-8")
    refuse_incomplete(load_recipe(str(path)))
