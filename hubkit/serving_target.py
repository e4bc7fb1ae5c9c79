"""What `hubkit serve` is told to serve: a recipe's published variant, a folder, or a repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hubkit.errors import ModelError, UsageError
from hubkit.folder import folder_variants, is_model_folder, is_repo_id
from hubkit.formats_records import Engine, RuntimeName
from hubkit.formats_variants import widened
from hubkit.measuring import measure, optimize
from hubkit.nearest import did_you_mean
from hubkit.pipeline import running, session
from hubkit.preparing import prepare
from hubkit.quantizing import CalibrationRows
from hubkit.recipe import OpenVinoStatic
from hubkit.records import Format, Variant
from hubkit.runner import Listener, Runner
from hubkit.serving_hub import fetch
from hubkit.stages.serving_model import ModelFiles

# Where a model of each engine lies in a folder: as hubkit publishes it, as optimum exports it.
_ONNX = (
    *("model.onnx", "model_quantized.onnx"),
    *("onnx/model.onnx", "onnx/model_quantized.onnx", "onnx/model_fp32.onnx"),
)
_FILES: dict[str, tuple[str, ...]] = {
    "onnxruntime": _ONNX,
    "openvino": ("openvino/openvino_model.xml", "openvino_model.xml", *_ONNX),
}
_FORMATS: dict[str, Format] = {"onnxruntime": "onnx", "openvino": "openvino"}


@dataclass(frozen=True)
class Found:
    """The files to be served, and the engine that runs them."""

    files: ModelFiles
    engine: Engine
    note: str = ""  # what the user has to know of them


def find_model(
    target: str,
    *,
    runtime: RuntimeName = "onnxruntime",
    variant: str | None = None,
    demo: bool = False,
    endpoint: str | None = None,
    revision: str | None = None,
    listener: Listener | None = None,
) -> Found:
    """The model that a target names.

    A folder with a model that the engine reads is served as it is, one without is exported; a
    USER/NAME that is no recipe is fetched from the Hub, at `revision` (None: main); of a recipe the
    variant is served that it publishes, made and measured where that has not been done yet, or the
    one that is named, which need only be made. Raises HubkitError.
    """
    if not demo and _is_on_hub(target):
        got = fetch(
            target,
            revision or "main",
            _FILES[runtime],
            whole=variant is not None,
            endpoint=endpoint,
            listener=listener,
        )
        found = _of_folder(got.folder, runtime, variant, listener, name=target.split("/")[1])
        return replace(found, note=got.note)
    if revision is not None:
        raise UsageError(
            f"--revision {revision}: {target} is no repository on the Hub",
            hint="Leave --revision out, or name a repository as USER/NAME.",
        )
    if is_model_folder(target):
        return _of_folder(Path(target), runtime, variant, listener)
    with session(target, demo=demo, endpoint=endpoint, listener=listener) as (run, loaded, origins):
        recipe = loaded.recipe
        if variant is None:
            published = measure(run, loaded, origins).report.published()
            chosen = published.get(_FORMATS[runtime])
            if chosen is None:
                raise UsageError(
                    f"{recipe.name} publishes {', '.join(published) or 'nothing'}, and nothing in"
                    f" {_FORMATS[runtime]}",
                    hint="Name a variant with --variant, or another --engine.",
                )
            return _of_variant(run, chosen, runtime, recipe.name)
        if all(spec.name != variant for spec in recipe.variants):
            recipe = widened(recipe)  # a report on formats recommends of those too
        material = prepare(run, replace(loaded, recipe=recipe), origins)
        rows = CalibrationRows(material.calibration, recipe.dataset.calibration_split)
        specs = [spec for spec in recipe.variants if spec.name == variant]
        if not specs and runtime == "openvino":
            specs = [spec for spec in recipe.variants if isinstance(spec, OpenVinoStatic)]
        made, failed = optimize(run, material.base, recipe.task, tuple(specs), rows)
        if failed:
            raise ModelError(failed[0].reason, hint=failed[0].hint)
        names = (*(spec.name for spec in recipe.variants), "onnx-fp32")
        return _of_variant(run, _named(made, variant, names), runtime, recipe.name)


def _is_on_hub(target: str) -> bool:
    """Whether a target is a USER/NAME, and neither a path that is here nor a recipe's."""
    recipe = Path(target).suffix in (".yaml", ".yml")
    return is_repo_id(target) and "/" in target and not recipe and not Path(target).exists()


def _of_folder(
    folder: Path,
    runtime: RuntimeName,
    variant: str | None,
    listener: Listener | None,
    name: str | None = None,
) -> Found:
    name = name or folder.resolve().name
    found = next((file for file in _FILES[runtime] if (folder / file).is_file()), None)
    if variant is None and found is not None:
        return Found(ModelFiles(name, folder, found, folder), _engine(runtime, found))
    with running(listener=listener) as run:
        _, variants, _ = folder_variants(run, folder)
        names = [one.name for one in variants if _runs(one, runtime)]
        wanted = variant or next(
            one.name for one in variants if one.format == "onnx" and one.precision == "fp32"
        )
        return _of_variant(run, _named(variants, wanted, names), runtime, name)


def _named(variants: Sequence[Variant], name: str, names: Sequence[str]) -> Variant:
    for one in variants:
        if one.name == name:
            return one
    raise UsageError(
        f"--variant {name}: no such variant{did_you_mean(name, names)}",
        hint=f"There are {', '.join(dict.fromkeys(names))}.",
    )


def _runs(variant: Variant, runtime: RuntimeName) -> bool:
    """OpenVINO reads ONNX files too."""
    return variant.format in (("onnx",) if runtime == "onnxruntime" else ("onnx", "openvino"))


def _of_variant(run: Runner, variant: Variant, runtime: RuntimeName, name: str) -> Found:
    if not _runs(variant, runtime):
        raise UsageError(
            f"{variant.name} is of the format {variant.format}, which {runtime} does not run",
            hint="Name another variant with --variant, or another --engine.",
        )
    folder = run.store.path(variant.artifact)
    engine = _engine(runtime, variant.model_file, variant)
    return Found(ModelFiles(name, folder, variant.model_file, folder), engine)


def _engine(runtime: RuntimeName, model_file: str, variant: Variant | None = None) -> Engine:
    precision = variant.precision if variant else "best"
    return Engine(
        name=f"{runtime}-cpu-{precision}",
        runtime=runtime,
        device="cpu",
        precision=precision,
        provider="CPUExecutionProvider" if runtime == "onnxruntime" else None,
        variant=variant.name if variant else None,
        format="openvino" if model_file.endswith(".xml") else "onnx",
    )
