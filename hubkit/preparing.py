"""What a recipe works on: sources pinned, model and rows fetched, rows tokenized once for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.recipe import (
    Calibration,
    IncStatic,
    LocalModel,
    OnnxStatic,
    VariantSpec,
)
from hubkit.recipe_file import LoadedRecipe, check_labels, check_lengths
from hubkit.records import (
    Artifact,
    BaseModelInfo,
    Dataset,
    Encoded,
    Lock,
)
from hubkit.runner import Runner
from hubkit.stages.encode import EncodeInput, encode
from hubkit.stages.fetch_dataset import FetchDatasetInput, fetch_dataset
from hubkit.stages.fetch_model import FetchModelInput, fetch_model
from hubkit.stages.resolve import ResolveInput, local_path, resolve

# Packages whose work is in a publication; lock.json names their versions.
TOOLS = (
    "datasets",
    "evaluate",
    "hubkit",
    "huggingface_hub",
    "jinja2",
    "neural-compressor",
    "numpy",
    "onnx",
    "onnxruntime",
    "optimum",
    "optimum-intel",
    "optimum-onnx",
    "scikit-learn",
    "seqeval",
    "tokenizers",
    "torch",
    "transformers",
)


@dataclass(frozen=True)
class Origins:
    """From what a built model and its dataset were made, in a sentence each; `rows`: the dataset
    itself, where it may not be passed on and so lies in the store and on no Hub."""

    base: str | None = None
    dataset: str | None = None
    rows: Artifact | None = None


NO_ORIGINS = Origins()


@dataclass(frozen=True)
class Material:
    """What a recipe works on: the pinned sources, the model, the rows and their token ids."""

    lock: Lock
    base: BaseModelInfo
    dataset: Dataset
    evaluation: Encoded
    calibration: Encoded | None


def prepare(run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS) -> Material:
    """Pin the sources, fetch the model and the rows, and tokenize them once for all variants."""
    recipe, folder = loaded.recipe, str(loaded.folder)
    lock = run.run(
        resolve,
        ResolveInput(
            base=recipe.base,
            dataset=recipe.dataset,
            recipe_digest=loaded.digest,
            folder=folder,
            tools=TOOLS,
            demo=loaded.demo,
            base_origin=origins.base,
            dataset_origin=origins.dataset,
            stored_dataset=origins.rows if recipe.dataset.source == "built" else None,
        ),
    )
    local_model = recipe.base.path if isinstance(recipe.base, LocalModel) else None
    base = run.run(
        fetch_model,
        FetchModelInput(
            source=lock.base,
            task=recipe.task,
            path=str(local_path(folder, local_model)) if local_model is not None else None,
        ),
        subject=lock.base.id,
    )
    check_labels(loaded, base.labels)
    check_lengths(loaded, base.max_positions)
    plans = calibrations(recipe.variants)
    dataset = run.run(
        fetch_dataset,
        FetchDatasetInput(
            source=lock.dataset,
            spec=recipe.dataset,
            task=recipe.task,
            labels=recipe.labels,
            model_labels=base.labels,
            samples=recipe.evaluation.samples,
            calibration_rows=max((plan.num_samples for plan in plans), default=0),
            calibration_seed=plans[0].seed if plans else 13,
            group_columns=recipe.analyses.group_columns,
            path=_data_path(run, loaded, origins),
        ),
        subject=lock.dataset.id,
    )
    encoded = {
        split: run.run(
            encode,
            EncodeInput(
                dataset=dataset,
                base=base,
                split=split,
                max_length=recipe.evaluation.max_length,
                task=recipe.task,
            ),
            subject=split,
        )
        for split in (("eval", "calibration") if plans else ("eval",))
    }
    return Material(lock, base, dataset, encoded["eval"], encoded.get("calibration"))


def _data_path(run: Runner, loaded: LoadedRecipe, origins: Origins) -> str | None:
    """Where on this machine the dataset lies; None: it is on the Hub."""
    dataset = loaded.recipe.dataset
    if dataset.source == "local":
        return str(local_path(str(loaded.folder), dataset.path))
    if dataset.source == "built" and origins.rows is not None:
        return str(run.store.path(origins.rows))
    return None


def calibrations(specs: Sequence[VariantSpec]) -> list[Calibration]:
    """The calibration plans of the variants that have one."""
    return [spec.calibration for spec in specs if isinstance(spec, OnnxStatic | IncStatic)]
