"""What a recipe works on: sources pinned, model and rows fetched, rows tokenized once for all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hubkit.building import Workshop, build_base
from hubkit.recipe import (
    Calibration,
    LocalModel,
    OpenVinoStatic,
    Recipe,
    VariantSpec,
    calibration_of,
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
# Those that have a part in it only where a base is fine-tuned.
TRAINING_TOOLS = ("accelerate",)
# And those where a variant is made with OpenVINO.
OPENVINO_TOOLS = ("nncf", "openvino")


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
    """What a recipe works on: the pinned sources, the model, the rows and their token ids.

    `base` is what is quantized; `shop`: what it was built with, of the model as it was fetched;
    None where the records were read from a folder.
    """

    lock: Lock
    base: BaseModelInfo
    dataset: Dataset
    evaluation: Encoded
    calibration: Encoded | None
    shop: Workshop | None = None


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
            tools=tools_of(recipe),
            demo=loaded.demo,
            base_origin=origins.base,
            dataset_origin=origins.dataset,
            stored_dataset=origins.rows if recipe.dataset.source == "built" else None,
        ),
    )
    local_model = recipe.base.path if isinstance(recipe.base, LocalModel) else None
    fetched = run.run(
        fetch_model,
        FetchModelInput(
            source=lock.base,
            task=recipe.task,
            path=str(local_path(folder, local_model)) if local_model is not None else None,
            head="task" if recipe.base.finetune is None else "any",
        ),
        subject=lock.base.id,
    )
    data_path = _data_path(run, loaded, origins)
    shop = Workshop(loaded, lock, data_path, fetched)
    if recipe.base.finetune is None:
        check_labels(loaded, fetched.labels)  # training would give it those of the recipe
    built = build_base(run, shop)
    base, lock = built.base, lock.model_copy(update={"built": built.done})
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
            path=data_path,
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
    return Material(lock, base, dataset, encoded["eval"], encoded.get("calibration"), shop)


def _data_path(run: Runner, loaded: LoadedRecipe, origins: Origins) -> str | None:
    """Where on this machine the dataset lies; None: it is on the Hub."""
    dataset = loaded.recipe.dataset
    if dataset.source == "local":
        return str(local_path(str(loaded.folder), dataset.path))
    if dataset.source == "built" and origins.rows is not None:
        return str(run.store.path(origins.rows))
    return None


def tools_of(recipe: Recipe) -> tuple[str, ...]:
    """The packages whose versions lock.json names."""
    training = () if recipe.base.finetune is None else TRAINING_TOOLS
    openvino = any(isinstance(spec, OpenVinoStatic) for spec in recipe.variants)
    return (*TOOLS, *training, *(OPENVINO_TOOLS if openvino else ()))


def calibrations(specs: Sequence[VariantSpec]) -> list[Calibration]:
    """The calibration plans of the variants that have one."""
    return [plan for plan in map(calibration_of, specs) if plan is not None]
