"""Which file of a published repository holds what: the card and the bundle must say the same."""

from __future__ import annotations

from collections.abc import Iterable

from hubkit.recipe import Recipe
from hubkit.records import Format, Report, Variant

OPENVINO_FOLDER = "openvino"
# The names that INCModel and ORTModel look for at the root of a repository, and OVModel in the
# subfolder that it is told of.
MODEL_FILES: dict[Format, str] = {
    "pytorch": "pytorch_model.bin",
    "onnx": "model.onnx",
    "openvino": f"{OPENVINO_FOLDER}/openvino_model.xml",
}
# ORTModel takes the root's model.onnx unless it is told otherwise; another name down here
# keeps it from having to choose.
FP32_ONNX_FOLDER, FP32_ONNX_NAME = "onnx", "model_fp32.onnx"
FP32_ONNX_FILE = f"{FP32_ONNX_FOLDER}/{FP32_ONNX_NAME}"

RECIPE_FILE = "recipe.json"
CITATION = "CITATION.cff"

FORMAT_NAMES: dict[Format, str] = {
    "pytorch": "PyTorch",
    "onnx": "ONNX",
    "openvino": "OpenVINO",
}
_METRIC_NAMES = {
    "f1": "F1",
    "exact_match": "Exact match",
    "cosine": "Cosine similarity",
    "relative_l2": "Relative L2 distance",
}


def card_path(code: str, *, primary: str) -> str:
    """The file of the card in a language: the Hub shows README.md, which is the primary one's."""
    return "README.md" if code == primary else f"README.{code}.md"


def metric_title(name: str) -> str:
    """A metric's name for a reader: "Accuracy", "F1"."""
    return _METRIC_NAMES.get(name, name.capitalize())


def metric_words(name: str) -> str:
    """The same within a sentence: "accuracy", "F1", "relative L2 distance"."""
    title = metric_title(name)
    return title if title == "F1" else title[0].lower() + title[1:]


def label_of(variant: Variant) -> str:
    """What a reader calls a variant: "ONNX INT8", "ONNX FP16"."""
    return f"{FORMAT_NAMES[variant.format]} {variant.precision.upper()}"


def precisions_of(variants: Iterable[Variant]) -> str:
    """What the numbers of some variants are, for a reader: "INT8", "FP16", "INT8/FP16"."""
    return "/".join(sorted({variant.precision.upper() for variant in variants}, reverse=True))


def published_variants(recipe: Recipe, report: Report) -> dict[Format, Variant]:
    """The variants that the recipe publishes, in the recipe's order of formats."""
    chosen = report.published()
    return {name: chosen[name] for name in recipe.publication.formats if name in chosen}


def file_of(variant: Variant, recipe: Recipe, report: Report) -> str | None:
    """The variant's file in the repository; None where it is not in there."""
    for name, chosen in published_variants(recipe, report).items():
        if chosen.name == variant.name:
            return MODEL_FILES[name]
    fp32_onnx = variant.format == "onnx" and variant.precision == "fp32"
    return FP32_ONNX_FILE if fp32_onnx and recipe.publication.include_fp32_onnx else None
