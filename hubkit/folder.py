"""The same flow for a model folder without a recipe: the folder says what a recipe would."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from hubkit.errors import UsageError
from hubkit.measuring import optimize
from hubkit.quantizing import CalibrationRows
from hubkit.recipe import Benchmark, Evaluation, OnnxDynamic, TaskName
from hubkit.recipe_file import LoadedRecipe, load_recipe
from hubkit.recipe_tasks import TASK_KEYS
from hubkit.records import BaseModelInfo, Failed, Source, Variant
from hubkit.runner import Runner
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.model_config import read_config, task_of
from hubkit.stages.model_files import digest_of_model

_REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_DATA_FILES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
_GRAPH = {"optimization_level": 3}


@dataclass(frozen=True)
class LabelledData:
    """A dataset for a model folder: a Hub id, or the path of a local file or folder."""

    path: str
    text_column: str = "text"
    second_text_column: str | None = None
    label_column: str = "label"
    eval_split: str | None = None
    calibration_split: str | None = None


def is_model_folder(target: str) -> bool:
    """Whether a command's target is a model folder rather than a recipe."""
    return (Path(target) / "config.json").is_file()


def folder_recipe(folder: Path, data: LabelledData, scratch: Path) -> LoadedRecipe:
    """A recipe for a model folder: the defaults, static variants where calibration rows are named.

    The task is the model's, and the labels of the dataset are the model's, by number or by name.
    Raises ModelError for a model of no task that hubkit knows, RecipeError.
    """
    task = _task(folder)
    keys = TASK_KEYS[task]
    config = read_config(folder / "config.json", folder.name, task)
    labels, plan = config.labels, benchmark_plan(config.max_positions)
    columns = (data.text_column, data.second_text_column)
    local = Path(data.path).expanduser()
    if not local.exists() and not is_repo_id(data.path):
        raise UsageError(
            f"{data.path}: no such file or folder",
            hint="Give --dataset a CSV, JSON or Parquet file, a folder of them, or the id of a"
            " dataset on the Hub.",
        )
    text: dict[str, object] = {
        "schema": 1,
        "name": _name(folder),
        "base": {"source": "local", "path": str(folder.resolve())},
        "task": task,
        "dataset": {
            "source": "local" if local.exists() else "hub",
            "path": str(local.resolve()) if local.exists() else data.path,
            "eval_split": data.eval_split or ("train" if local.is_file() else "validation"),
            "calibration_split": data.calibration_split or "unused",
            # Of question answering the first column is the question, the second the context.
            "data_keys": {
                key: column
                for key, column in zip((*keys.required, *keys.optional), columns, strict=False)
                if column
            },
            "ref_keys": [data.label_column] * keys.references,
        },
        "labels": {**{str(i): n for i, n in enumerate(labels)}, **{n: n for n in labels}},
        "variants": _variants(static=data.calibration_split is not None),
        "evaluation": {"max_length": min(Evaluation().max_length, config.max_positions)},
        "benchmark": plan.model_dump(mode="json"),
        "publication": {
            "license": "unknown",
            "formats": ["onnx", "pytorch"] if data.calibration_split else ["onnx"],
        },
    }
    path = scratch / f"{folder.resolve().name}.yaml"
    path.write_text(json.dumps(text, ensure_ascii=False), encoding="utf-8")
    return load_recipe(str(path))


def _task(folder: Path) -> TaskName:
    """What the model's head is for. Where that is nothing that hubkit does, text classification:
    whoever reads the configuration for it says what is wrong."""
    names: object = None
    with suppress(OSError, ValueError):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        names = config.get("architectures") if isinstance(config, dict) else None
    name = str(names[0]) if isinstance(names, list) and names else ""
    found = (task_of(name) or "").split(" ")[0]
    return next((task for task in get_args(TaskName) if task == found), "text-classification")


def benchmark_plan(max_positions: int) -> Benchmark:
    """The default plan, with lengths that the model can take."""
    plan = Benchmark()
    lengths = {min(length, max_positions) for length in plan.input_lengths}
    return plan.model_copy(update={"input_lengths": tuple(sorted(lengths))})


def is_repo_id(text: str) -> bool:
    """Whether a text can be the id of a repository, and is no path of a file."""
    return bool(_REPO_ID.fullmatch(text)) and Path(text).suffix not in _DATA_FILES


def _name(folder: Path) -> str:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in folder.resolve().name)
    return name.lstrip("._-") or "model"


def _variants(*, static: bool) -> Sequence[dict[str, object]]:
    dynamic: dict[str, object] = {"kind": "onnx-dynamic", "framework_args": _GRAPH}
    if not static:
        return [dynamic]
    return [{**dynamic, "smooth_quant": "auto"}, {"kind": "onnx-static"}, {"kind": "inc-static"}]


def folder_variants(
    run: Runner, folder: Path
) -> tuple[BaseModelInfo, tuple[Variant, ...], tuple[Failed, ...]]:
    """A folder's model, its FP32 baselines, and what can be made of it without any data: ONNX
    dynamic INT8."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder")
    source = Source(
        kind="model",
        source="local",
        id=folder.resolve().name,
        revision="local",
        sha=digest_of_model(folder),
    )
    task = _task(folder)
    base = run.run(
        fetch_model,
        FetchModelInput(source=source, task=task, path=str(folder.resolve())),
        subject=source.id,
    )
    specs = (OnnxDynamic.model_validate({"kind": "onnx-dynamic", "framework_args": _GRAPH}),)
    return base, *optimize(run, base, task, specs, CalibrationRows())
