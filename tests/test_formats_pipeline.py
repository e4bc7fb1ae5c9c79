"""What a report on formats compares, and how its call is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubkit.errors import UsageError
from hubkit.formats_pipeline import concurrency_levels, refuse_foreign, serving_plan
from hubkit.formats_variants import widened
from hubkit.hub.manifest import SUMS
from hubkit.recipe_file import load_recipe


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("1:4", (1, 2, 3, 4)),
        ("1:9:4", (1, 5, 9)),
        ("1,2, 8", (1, 2, 8)),
        ("16", (16,)),
    ],
)
def test_levels_are_ranges_or_lists(text: str, levels: tuple[int, ...]) -> None:
    assert concurrency_levels(text) == levels


@pytest.mark.parametrize("text", ["", "0", "4:1", "1:8:0", "2,1", "1,1", "1,x", "1:99999", "-1"])
def test_what_is_no_list_of_levels_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        concurrency_levels(text)
    assert "1:32" in (refused.value.hint or "")


def test_a_window_is_of_a_useful_length() -> None:
    assert serving_plan(window_s=0.5).window_s == 0.5
    with pytest.raises(UsageError):
        serving_plan(window_s=0.001)


def test_a_recipe_is_widened_by_what_it_has_none_of() -> None:
    recipe = load_recipe("distilbert-sst2").recipe
    wider = widened(recipe)
    assert wider.variants[: len(recipe.variants)] == recipe.variants
    added = [spec.kind for spec in wider.variants[len(recipe.variants) :]]
    assert "onnx-float16" in added
    # It has one of PyTorch already, and a repository holds one.
    assert not any(kind.startswith("inc-") for kind in added)
    assert widened(wider) == wider


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "new")
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError):
        refuse_foreign(tmp_path)
    (tmp_path / SUMS).write_text(f"{'0' * 64}  notes.txt\n", encoding="utf-8")
    with pytest.raises(UsageError):
        refuse_foreign(tmp_path)
