"""Finding a recipe, unreadable files, and what a loaded one holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.errors import RecipeError
from hubkit.recipe import IncStatic, OnnxStatic
from hubkit.recipe_file import check_labels, check_lengths, load_recipe, open_points
from tests.recipe.conftest import SMALL, Load


def _error(name: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load_recipe(name)
    return caught.value


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    error = _error("distilbert-sst")
    assert error.message == "distilbert-sst: unknown recipe, did you mean distilbert-sst2?"
    assert "distilbert-sst2" in error.hint


def test_a_recipe_works_by_file_and_by_folder(load: Load, tmp_path: Path) -> None:
    by_file = load()
    folder = tmp_path / "elsewhere" / "mine"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").write_text(SMALL)
    (folder / "notes.md").write_text("Prose.\n")
    by_folder = load_recipe(str(folder))
    assert by_folder.recipe == by_file.recipe
    assert by_folder.digest == by_file.digest
    assert (by_folder.folder, by_folder.notes) == (folder, "Prose.\n")
    assert by_file.notes == ""


def test_a_path_that_is_not_there(load: Load, tmp_path: Path) -> None:
    load()
    assert _error("no/such.yaml").message == "no/such.yaml: no such file"
    (tmp_path / "empty").mkdir()
    assert "holds no recipe.yaml" in _error("empty").message


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("name: [a\nbase: b\n", "bad.yaml:2:5: not readable as YAML: "),
        ("name: a\n\tbase: b\n", "bad.yaml:2:1: not readable as YAML: "),
        ("a: 1\nb: x\0y\n", "bad.yaml:2:5: not readable as YAML: a control character"),
        ("a: *nobody\n", "bad.yaml:1:4: not readable as YAML: found undefined alias"),
        ("", "bad.yaml:1: the file is empty"),
        ("- a\n- b\n", "bad.yaml:1: expected a mapping of keys, found a list"),
        ("a: 1\n---\nb: 2\n", "bad.yaml:2:1: not readable as YAML: but found another document"),
        ("a: &x\n  b: *x\n", "bad.yaml:1: an alias that holds itself"),
        ("[" * 600, "bad.yaml: not readable as YAML: nested too deep"),
    ],
)
def test_unreadable_yaml_is_told_with_its_place(
    text: str, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(text)
    error = _error("bad.yaml")
    assert error.message.startswith(start)
    assert error.hint


def test_text_that_is_not_utf8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_bytes(b"name: \xff\n")
    assert _error("bad.yaml").message == "bad.yaml: not UTF-8 text (byte 6)"


def test_aliases_that_multiply_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    Path("bad.yaml").write_text("\n".join(rows))
    assert "aliases that multiply" in _error("bad.yaml").message


def test_a_byte_order_mark_and_an_alias_are_read(tmp_path: Path) -> None:
    text = SMALL.replace(
        "  - kind: onnx-static\n", "  - kind: onnx-static\n    calibration: &c {seed: 7}\n"
    )
    text = text.replace("  - kind: inc-static\n", "  - kind: inc-static\n    calibration: *c\n")
    (tmp_path / "r.yaml").write_text("\ufeff" + text, encoding="utf-8")
    recipe = load_recipe(str(tmp_path / "r.yaml")).recipe
    static = [v for v in recipe.variants if isinstance(v, OnnxStatic | IncStatic)]
    assert [v.calibration.seed for v in static] == [7, 7]


def test_the_digest_is_of_the_content(load: Load) -> None:
    plain = load().digest
    assert load(("name: small", "# a comment\nname:   small")).digest == plain
    assert load(more="evaluation: {batch_size: 32}\n").digest == plain  # the default, written out
    assert load(more="demo: {evaluation: {batch_size: 16}}\n").digest == plain
    assert load(more="evaluation: {batch_size: 16}\n").digest != plain


def test_label_numbers_are_text(load: Load) -> None:
    assert load().recipe.labels == {"0": "NEGATIVE", "1": "POSITIVE"}
    assert load(("  0:", '  "0":')).digest == load().digest


def test_a_date_is_text(load: Load) -> None:
    details = load(more="card: {details: {date: 2022-03-29}}\n").recipe.card.details
    assert details.date == "2022-03-29"


def test_labels_that_fit(load: Load) -> None:
    check_labels(load(), ("NEGATIVE", "POSITIVE"))
    many_to_one = load(("  1: POSITIVE", "  1: POSITIVE\n  2: POSITIVE"))
    check_labels(many_to_one, ("POSITIVE", "NEGATIVE"))


def test_labels_that_do_not_fit_the_model(load: Load) -> None:
    loaded = load(("1: POSITIVE", "1: positiv"))
    with pytest.raises(RecipeError) as caught:
        check_labels(loaded, ("NEGATIVE", "NEUTRAL", "POSITIVE"))
    assert caught.value.message.splitlines() == [
        'r.yaml:8: labels: no value maps to the label "NEUTRAL" of the model'
        " (NEGATIVE, NEUTRAL, POSITIVE)",
        'r.yaml:8: labels: no value maps to the label "POSITIVE" of the model'
        " (NEGATIVE, NEUTRAL, POSITIVE)",
        'r.yaml:10: labels.1: "positiv" is no label of the model, did you mean POSITIVE?'
        " (NEGATIVE, NEUTRAL, POSITIVE)",
    ]


def test_texts_longer_than_the_model_takes(load: Load) -> None:
    loaded = load(more="evaluation:\n  max_length: 513\n")
    with pytest.raises(RecipeError) as caught:
        check_lengths(loaded, 512)
    what = "513 tokens, and the model takes at most 512"
    assert caught.value.message == f"r.yaml:20: evaluation.max_length: {what}"
    check_lengths(loaded, 513)


def test_placeholders_are_told(load: Load) -> None:
    assert open_points(load()) == ()
    points = open_points(load(("me/data", "TODO-owner/TODO-data")))
    expected = 'r.yaml:5: dataset.path: "TODO-owner/TODO-data" is a placeholder: fill it in'
    assert points == (expected,)
