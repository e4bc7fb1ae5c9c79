"""docs/recipe.md names every key of the models, and its examples are valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import yaml

from hubkit import recipe as models
from hubkit.recipe import CardData, Part, Recipe
from hubkit.recipe_analyses import LengthRange
from hubkit.recipe_file import load_recipe
from hubkit.recipe_onnx import BlockwiseNodes
from hubkit.recipe_sweep import (
    BackendArgs,
    SweepCalibration,
    SweepFrameworkArgs,
    TimeBenchmarkArgs,
)
from hubkit.recipe_tune import AccuracyCriterion, ExitPolicy

TEXT = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
ROWS = dict(re.findall(r"^\| `([\w.\[\]]+)` \|(.*)\|$", TEXT, re.MULTILINE))
SECTIONS: dict[str, tuple[type[Part], ...]] = {
    "": (Recipe,),
    "base.": (models.HubModel, models.LocalModel, models.BuiltModel),
    "base.prune.": (models.Prune,),
    "base.finetune.": (models.Finetune,),
    "base.project.": (models.Project,),
    "dataset.": (models.DatasetSpec,),
    "variants[].": tuple(get_args(get_args(models.VariantSpec)[0])),
    "variants[].calibration.": (models.Calibration,),
    "variants[].framework_args.": (models.FrameworkArgs,),
    "variants[].blockwise.": (BlockwiseNodes,),
    "sweep.": (models.Sweep,),
    "sweep.calibration.": (SweepCalibration,),
    "sweep.framework_args.": (SweepFrameworkArgs,),
    "sweep.time_benchmark_args.": (TimeBenchmarkArgs,),
    "sweep.backend_args.": (BackendArgs,),
    "tune.": (models.Tune,),
    "tune.accuracy_criterion.": (AccuracyCriterion,),
    "tune.exit_policy.": (ExitPolicy,),
    "evaluation.": (models.Evaluation,),
    "benchmark.": (models.Benchmark,),
    "gates.": (models.Gates,),
    "publication.": (models.Publication,),
    "publication.widget[].": (models.WidgetExample,),
    "analyses.": (models.AnalysesPlan,),
    "analyses.slices[].": (models.Slice,),
    "analyses.slices[].length.": (LengthRange,),
    **{
        f"card.{name}.": (type(field.default),)
        for name, field in CardData.model_fields.items()
        if isinstance(field.default, Part)
    },
}


def _keys() -> Iterator[str]:
    for prefix, parts in SECTIONS.items():
        for part in parts:
            for name, field in part.model_fields.items():
                yield prefix + (field.alias or name)
    yield from (f"card.{n}" for n, f in CardData.model_fields.items() if f.default is None)


def test_every_key_has_a_line_and_no_line_is_of_an_unknown_key() -> None:
    known = set(_keys()) - {prefix.rstrip(".") for prefix in SECTIONS if prefix.count(".") > 1}
    assert set(ROWS) == known


@pytest.mark.parametrize("key", sorted(ROWS))
def test_every_line_has_an_example_that_names_the_key(key: str) -> None:
    example = ROWS[key].rsplit("|", 1)[-1].strip()
    if example == "below":
        assert f"\n## {key}\n" in TEXT
        return
    data = yaml.safe_load(example.strip("`"))
    last = key.rsplit(".", 1)[-1]
    inner = [value for value in data.values() if isinstance(value, dict)]
    assert last in data or any(last in value for value in inner)


def test_the_smallest_recipe_is_one(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(BLOCKS[0], encoding="utf-8")
    assert load_recipe(str(tmp_path)).recipe.name == "my-model"


def test_the_demo_example_does_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(BLOCKS[0] + BLOCKS[-1], encoding="utf-8")
    recipe = load_recipe(str(tmp_path), demo=True).recipe
    assert (recipe.benchmark.batch_sizes, recipe.benchmark.rounds) == ((1, 8), 5)


def test_the_base_that_is_built_is_one(tmp_path: Path) -> None:
    rest = BLOCKS[0].replace("base: {source: hub, id: me/my-model}\n", "")
    assert rest != BLOCKS[0]
    (tmp_path / "recipe.yaml").write_text(BLOCKS[1] + rest, encoding="utf-8")
    base = load_recipe(str(tmp_path)).recipe.base
    assert base.prune == models.Prune(layers="every_second")
    assert base.finetune == models.Finetune(learning_rate=5e-5)
