"""What the report on formats compares: the recipe's variants, and those of the formats that it
leaves out and this machine can make."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hubkit.errors import DataError
from hubkit.lock import version_of
from hubkit.measuring import optimize
from hubkit.preparing import NO_ORIGINS, Material, Origins, prepare
from hubkit.quantizing import CalibrationRows
from hubkit.recipe import (
    IncDynamic,
    IncStatic,
    OnnxFloat16,
    OpenVinoStatic,
    Recipe,
    VariantSpec,
    calibration_of,
)
from hubkit.recipe_check import check_recipe
from hubkit.recipe_file import LoadedRecipe
from hubkit.records import Failed, Variant
from hubkit.runner import Runner
from hubkit.stages.quantize import QuantizeInput, quantize


@dataclass(frozen=True)
class Compared:
    """Every model that an engine may run, and what could not be made."""

    material: Material
    variants: tuple[Variant, ...]
    failures: tuple[Failed, ...]

    def variant(self, name: str) -> Variant:
        """The variant of that name."""
        return next(one for one in self.variants if one.name == name)


def compare(run: Runner, loaded: LoadedRecipe, origins: Origins = NO_ORIGINS) -> Compared:
    """Make the FP32 models, the recipe's INT8 variants, and one variant of each format
    and precision that the recipe has none of: FP16 in ONNX, INT8 of PyTorch, INT8 of OpenVINO.

    What the machine cannot make is among the failures. FP16 is made even where it would be slow:
    what it does to the numbers can be seen all the same.
    """
    wider = widened(loaded.recipe)
    without: tuple[Failed, ...] = ()
    try:
        material = prepare(run, replace(loaded, recipe=wider), origins)
    except DataError as error:
        wider, without = _uncalibrated(loaded.recipe, wider, error)
        material = prepare(run, replace(loaded, recipe=wider), origins)
    rows = CalibrationRows(material.calibration, wider.dataset.calibration_split)
    half = [spec for spec in wider.variants if isinstance(spec, OnnxFloat16)]
    rest = tuple(spec for spec in wider.variants if not isinstance(spec, OnnxFloat16))
    variants, failed = optimize(run, material.base, wider.task, rest, rows)
    onnx = next(v for v in variants if v.format == "onnx" and v.precision == "fp32")
    calls = [
        (QuantizeInput(base=material.base, fp32=onnx, spec=spec), spec.name, "onnx")
        for spec in half
    ]
    made, more = run.try_map(quantize, calls)
    return Compared(
        material=material, variants=(*variants, *made), failures=(*without, *failed, *more)
    )


def _uncalibrated(
    recipe: Recipe, wider: Recipe, error: DataError
) -> tuple[Recipe, tuple[Failed, ...]]:
    """The wider recipe without what learns from rows, where none of the recipe's own variants does:
    those rows need not be there. Raises `error` where that does not help."""
    added = [spec for spec in wider.variants if calibration_of(spec) is not None]
    if not added or any(spec in recipe.variants for spec in added):
        raise error
    rest = tuple(spec for spec in wider.variants if spec not in added)
    return wider.model_copy(update={"variants": rest}), tuple(
        Failed(stage="fetch-dataset", subject=spec.name, reason=error.message, hint=error.hint)
        for spec in added
    )


def widened(recipe: Recipe) -> Recipe:
    """The recipe with a variant of each format and precision, where their packages are there."""
    for spec in _beside():
        more = recipe.model_copy(update={"variants": (*recipe.variants, spec)})
        # What the recipe's own rules refuse, such as calibrating on the rows that are scored.
        if not _has(recipe, spec) and not check_recipe(more):
            recipe = more
    return recipe


def _beside() -> list[VariantSpec]:
    found: list[VariantSpec] = [OnnxFloat16(kind="onnx-float16")]
    if version_of("neural-compressor"):
        found.append(IncDynamic(kind="inc-dynamic"))
    if version_of("openvino") and version_of("nncf"):
        found.append(OpenVinoStatic(kind="openvino-static"))
    return found


def _has(recipe: Recipe, wanted: VariantSpec) -> bool:
    """Whether the recipe has a variant of that format and precision."""
    same: tuple[type, ...] = (type(wanted),)
    if isinstance(wanted, IncDynamic | IncStatic):
        same = (IncDynamic, IncStatic)
    return any(isinstance(spec, same) for spec in recipe.variants)
