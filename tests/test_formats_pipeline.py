"""What a report on formats compares, and how its call is read."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from hubkit.cli.app import app
from hubkit.errors import DataError, UsageError
from hubkit.formats_pipeline import concurrency_levels, serving_plan
from hubkit.formats_variants import _uncalibrated, widened
from hubkit.recipe import calibration_of
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


@pytest.mark.parametrize(
    ("given", "cure"), [(["--model", "m"], "--url http"), (["--p99", "0"], "above 0")]
)
def test_options_that_mean_nothing_are_refused_before_anything_runs(
    given: list[str], cure: str
) -> None:
    done = CliRunner().invoke(app, ["report", "formats", "distilbert-embeddings", *given])
    assert isinstance(done.exception, UsageError)
    assert cure in (done.exception.hint or "")


def test_a_recipe_is_widened_by_what_it_has_none_of() -> None:
    recipe = load_recipe("distilbert-sst2").recipe
    wider = widened(recipe)
    assert wider.variants[: len(recipe.variants)] == recipe.variants
    added = [spec.kind for spec in wider.variants[len(recipe.variants) :]]
    assert "onnx-float16" in added
    # It has one of PyTorch already, and a repository holds one.
    assert not any(kind.startswith("inc-") for kind in added)
    assert widened(wider) == wider


def test_rows_to_calibrate_on_need_not_be_there_for_what_was_added() -> None:
    pytest.importorskip("nncf")
    full = load_recipe("distilbert-embeddings").recipe
    recipe = full.model_copy(
        update={"variants": tuple(one for one in full.variants if calibration_of(one) is None)}
    )
    wider, error = widened(recipe), DataError("the dataset data has no split train")
    rest, failed = _uncalibrated(recipe, wider, error)
    assert [one.subject for one in failed] == ["openvino-int8-static"]
    assert failed[0].reason == error.message
    assert set(recipe.variants) <= set(rest.variants) < set(wider.variants)
    with pytest.raises(DataError):  # without the rows the recipe cannot be made
        _uncalibrated(full, widened(full), error)
    with pytest.raises(DataError):
        _uncalibrated(rest, rest, error)
