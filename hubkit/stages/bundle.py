"""bundle: the folder that becomes the repository, put together from artifacts and records."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path, PurePath

from hubkit.backends.projection import DENSE_WEIGHTS, files_of_projection, has_projection
from hubkit.cards.layout import FP32_ONNX_FILE, MODEL_FILES, RECIPE_FILE
from hubkit.errors import HubkitError, ModelError, StoreError
from hubkit.formats_records import FormatsReport
from hubkit.hub.manifest import SUMS, format_sums
from hubkit.keys import digest_of_bytes, digest_of_value, files_of
from hubkit.lock import version_of
from hubkit.provenance.bom import BOM, BomInput, bom_json
from hubkit.recipe import Recipe
from hubkit.records import (
    Artifact,
    BaseModelInfo,
    Bundle,
    CardSet,
    Format,
    Lock,
    Record,
    Report,
    TextFile,
    Variant,
)
from hubkit.secrets_scan.rules import VERSION
from hubkit.secrets_scan.scan import refuse_secrets
from hubkit.stage import Context, stage
from hubkit.stages.export import ir_weights
from hubkit.stages.merged_config import merged_config
from hubkit.stages.rendered import renderer_digest
from hubkit.stages.report import record_json, value_json
from hubkit.store import Store
from hubkit.sweep_records import SweepReport
from hubkit.tune_records import TuneReport

SWEEP_FILE, TUNE_FILE, FORMATS_FILE = "sweep.json", "tune.json", "formats.json"

_TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
_LICENCE = re.compile(r"^(LICENSE|LICENCE|NOTICE)(\.\w+)?$", re.IGNORECASE)
_MACHINE_PATH = re.compile(r"^(/[\w.@+-]+/|~/|[A-Za-z]:[\\/]|file://)")
# Free text, addresses on a Hub and names of ONNX nodes, whatever they begin with; and a tokenizer's
# vocabulary.
_NOT_PATHS = ("primary", "secondary", "url", "card", "node_exclusion", "patterns", "nodes")
# 1e-05 at the end of a line, where no text can end: to YAML 1.1, unlike JSON, it is no number.
_DOTLESS = re.compile(r"(?m)(?<= )(-?\d+)(e[+-]\d+,?)$")
_VOCABULARIES = ("tokenizer.json", "vocab.json")
_WHERE = ("name_or_path", "special_tokens_map_file", "tokenizer_file")


class BundleInput(Record):
    """What is published. `published`: format -> the variant in it."""

    repo_id: str
    recipe: Recipe
    lock: Lock
    report: Report
    cards: CardSet
    assets: Artifact | None = None  # the figures, below assets/
    base: BaseModelInfo
    published: dict[Format, Variant]
    fp32_onnx: Variant | None = None  # needed where the recipe publishes it
    sweep: SweepReport | None = None  # that the ONNX variant was taken from
    tuning: TuneReport | None = None  # that a variant was taken from
    formats: FormatsReport | None = None  # that the card's section condenses


class Clean(Record):
    """A folder was looked through for secrets, and nothing was found."""

    files: int


@stage("bundle", version=4, kind="pure", takes=BundleInput, gives=Bundle)
def bundle(given: BundleInput, ctx: Context) -> Bundle:
    """The repository's root as an artifact, SHA256SUMS over all the rest of it included.

    Raises ModelError where a wanted format is missing, where the formats' config.json contradict
    each other, or where safetensors weights would lie beside Neural Compressor's; HubkitError where
    a file holds a secret or names a path of this machine, StoreError where weights are not those
    measured.
    """
    root = ctx.scratch / "bundle"
    root.mkdir()
    variants = _wanted(given)
    for kind, variant in variants.items():
        _place_model(ctx.store.path(variant.artifact), variant, root / MODEL_FILES[kind])
    _place_fp32(given, ctx, root)
    base = ctx.store.path(given.base.artifact)
    _place_tokenizer(base, root)
    _place_projection(base, root, given.report.encoded.max_length)
    folders = {kind: ctx.store.path(variant.artifact) for kind, variant in variants.items()}
    base_id = given.lock.base.id if given.lock.base.source != "local" else None
    write_text(root / "config.json", merged_config(folders, base_id))
    if "openvino" in folders:
        # OVModel looks beside its model first.
        beside = merged_config({"openvino": folders["openvino"]}, base_id)
        write_text((root / MODEL_FILES["openvino"]).with_name("config.json"), beside)
    if "pytorch" in folders and (folders["pytorch"] / "inc_config.json").is_file():
        _place(folders["pytorch"] / "inc_config.json", root / "inc_config.json")
    write_text(root / "results.json", record_json(given.report))
    if given.sweep is not None:
        write_text(root / SWEEP_FILE, record_json(given.sweep))
    if given.tuning is not None:
        write_text(root / TUNE_FILE, record_json(given.tuning))
    if given.formats is not None:
        write_text(root / FORMATS_FILE, record_json(given.formats))
    write_text(root / "lock.json", record_json(given.lock))
    write_text(root / RECIPE_FILE, recipe_json(given.recipe, given.lock))
    _place_cards(given, ctx, root)
    _refuse_silent_fp32(root)
    refuse_machine_paths(root)
    sums = files_of(root)
    for kind, variant in variants.items():
        _refuse_changed(variant, MODEL_FILES[kind], sums, folders[kind])
    bom = _bom(given, sums, ctx.store)
    write_text(root / BOM, bom)
    sums[BOM] = digest_of_bytes(bom.encode())
    refuse_secrets_once(root, sums, ctx.store)
    write_text(root / SUMS, format_sums(sums))
    half = tuple(kind for kind, variant in variants.items() if variant.precision == "fp16")
    return Bundle(repo_id=given.repo_id, artifact=ctx.store.adopt(root), half=half)


def _bom(given: BundleInput, sums: dict[str, str], store: Store) -> str:
    """bom.cdx.json; kept, since its library takes longer to import than all the rest here."""
    wanted = BomInput(
        repo_id=given.repo_id,
        recipe=given.recipe,
        lock=given.lock,
        report=given.report,
        files=sums,
        renderer=renderer_digest(),
    )
    tool = version_of("cyclonedx-python-lib")
    key = digest_of_value({"bom": wanted.model_dump(mode="json", by_alias=True), "tool": tool})
    kept = store.get_record(key, TextFile)
    if kept is None:
        kept = TextFile(path=BOM, text=bom_json(wanted))
        store.put_record(key, kept)
    return kept.text


def refuse_secrets_once(root: Path, sums: dict[str, str], store: Store) -> None:
    """`refuse_secrets`, passed over where these very files (`sums`) were found clean before."""
    key = digest_of_value({"secrets": VERSION, "sums": sums})
    if store.get_record(key, Clean) is None:
        refuse_secrets(root)
        store.put_record(key, Clean(files=len(sums)))


def _refuse_changed(variant: Variant, target: str, sums: dict[str, str], folder: Path) -> None:
    """The store looks at sizes alone when it is asked; what is published is compared whole."""
    measured = {ref.path: ref.sha256 for ref in variant.artifact.files}
    placed = {variant.model_file: target}
    if variant.format == "openvino":
        placed[ir_weights(variant.model_file)] = ir_weights(target)
    for name, path in placed.items():
        if sums[path] != measured[name]:
            raise StoreError(
                f"the stored {name} of {variant.name} is not the one that was measured",
                hint=f"Remove {folder} and run the same command again: it is made anew.",
            )


def recipe_json(recipe: Recipe, lock: Lock) -> str:
    """recipe.json: the recipe as used, with its defaults written out and the demo laid over it.

    It is a recipe that `load_recipe` takes, with the digest that lock.json has; but of what was
    local only the name is left, so that it has to lie beside it.
    """
    # With its shape as `hubkit.recipe_file` digests it.
    value = recipe.model_dump(mode="json", by_alias=True, exclude={"demo"})
    if recipe.base.source == "local":
        value["base"]["path"] = lock.base.id
    if recipe.dataset.source == "local":
        value["dataset"]["path"] = lock.dataset.id
    if recipe.templates is not None:
        value["templates"] = PurePath(recipe.templates).name
    return _DOTLESS.sub(r"\1.0\2", value_json(value))


def _wanted(given: BundleInput) -> dict[Format, Variant]:
    converted = given.report.openvino_selection
    outdone = {"openvino"} if converted and converted.outdone else set[str]()
    formats = [kind for kind in given.recipe.publication.formats if kind not in outdone]
    missing = [kind for kind in formats if kind not in given.published]
    if missing or not formats:
        reasons = "; ".join(f"{f.stage} of {f.subject}: {f.reason}" for f in given.report.failures)
        raise ModelError(
            f"the recipe publishes {' and '.join(missing) or 'nothing'}, but no variant in"
            " it was made" + (f" ({reasons})" if reasons else ""),
            hint="Mend what failed, add such a variant to the recipe, or name other formats under"
            " publication.formats.",
        )
    return {kind: given.published[kind] for kind in formats}


def _place(source: Path, target: Path) -> None:
    # Artifacts never change, so a second name for the same bytes is as good as a copy.
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)


def _place_model(folder: Path, variant: Variant, target: Path) -> None:
    if variant.precision == "int8" and target.name == MODEL_FILES["pytorch"]:
        _check_state_dict(variant)
    _place(folder / variant.model_file, target)
    if variant.format == "openvino":
        _place(folder / ir_weights(variant.model_file), target.with_name(ir_weights(target.name)))
    # Weights over 2 GB lie beside the graph, which names them: they keep their names.
    for data in sorted(folder.glob(f"{variant.model_file}[._]data*")):
        _place(data, target.parent / data.name)


def _check_state_dict(variant: Variant) -> None:
    if variant.model_file != MODEL_FILES["pytorch"]:
        raise ModelError(
            f"{variant.name} keeps its INT8 weights in {variant.model_file}, which INCModel would"
            " not load as INT8",
            hint="Quantize again; Neural Compressor writes pytorch_model.bin.",
        )


def _place_fp32(given: BundleInput, ctx: Context, root: Path) -> None:
    if not given.recipe.publication.include_fp32_onnx:
        return
    if given.fp32_onnx is None:
        raise ModelError(
            "the recipe publishes the FP32 ONNX model too, and there is none",
            hint="Set publication.include_fp32_onnx: false, or export the model.",
        )
    folder = ctx.store.path(given.fp32_onnx.artifact)
    _place_model(folder, given.fp32_onnx, root / FP32_ONNX_FILE)


def _place_tokenizer(base: Path, root: Path) -> None:
    for path in sorted(base.iterdir()):
        if path.name in _TOKENIZER_FILES or _LICENCE.match(path.name):
            _place(path, root / path.name)
    _forget_machine(root / "tokenizer_config.json")


def _place_projection(base: Path, root: Path, max_length: int) -> None:
    """What sentence-transformers builds an embedding with: of a model with a projection, its files
    and the number of tokens after which texts were cut in the evaluation."""
    if not has_projection(base):
        return
    for name in files_of_projection(base):
        _place(base / name, root / name)
    cut = {"do_lower_case": False, "max_seq_length": max_length}
    write_text(root / "sentence_bert_config.json", json.dumps(cut, indent=2) + "\n")


def _forget_machine(path: Path) -> None:
    """Take out where somebody's machine had the files of a tokenizer: many on the Hub say so, and
    nothing reads it."""
    if not path.is_file():
        return
    config = json.loads(path.read_text(encoding="utf-8"))
    odd = [key for key in _WHERE if _MACHINE_PATH.match(str(config.get(key) or ""))]
    if odd:
        path.unlink()  # it may be another name of an artifact's file
        kept = {key: value for key, value in config.items() if key not in odd}
        write_text(path, json.dumps(kept, indent=2, ensure_ascii=False) + "\n")


def _place_cards(given: BundleInput, ctx: Context, root: Path) -> None:
    texts = {one.path: one.text for one in given.cards.cards}
    texts |= {one.path: one.text for one in given.cards.files}
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        write_text(root / path, text)
    if given.assets is not None:
        folder = ctx.store.path(given.assets)
        for ref in given.assets.files:
            _place(folder / ref.path, root / ref.path)


def write_text(path: Path, text: str) -> None:
    """Write a file in UTF-8 with the line ends that the text has."""
    path.write_bytes(text.encode())


def _refuse_silent_fp32(root: Path) -> None:
    """INCModel takes model.safetensors before pytorch_model.bin, and serves FP32 without a word."""
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.safetensors")}
    weights = sorted(found - {DENSE_WEIGHTS})  # of which INCModel knows nothing
    if weights and (root / MODEL_FILES["pytorch"]).exists():
        raise ModelError(
            f"{', '.join(weights)} beside {MODEL_FILES['pytorch']}: INCModel would load FP32 and"
            " not say so",
            hint="This is a fault of hubkit: please report it.",
        )


def refuse_machine_paths(root: Path) -> None:
    """Raise HubkitError where a JSON file of the folder names a path of this machine."""
    for path in sorted(root.rglob("*.json")):
        if path.name in _VOCABULARIES:
            continue
        found = _machine_path(json.loads(path.read_text(encoding="utf-8")), "")
        if found:
            raise HubkitError(
                f"{path.name} names a path of this machine at {found}",
                hint="Take it out of the model's files and run the same command again.",
            )


def _machine_path(value: object, where: str) -> str | None:
    """The key, dots between, of the first string that is a path of one machine."""
    if isinstance(value, dict):
        parts = [(f"{where}.{k}".strip("."), v) for k, v in value.items() if k not in _NOT_PATHS]
    elif isinstance(value, list):
        parts = [(f"{where}[{i}]", item) for i, item in enumerate(value)]
    else:
        return where if isinstance(value, str) and _MACHINE_PATH.match(value) else None
    return next((found for key, item in parts if (found := _machine_path(item, key))), None)
