"""The base model in the store: configuration, tokenizer and safetensors weights, nothing else."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    model_serializer,
)

from hubkit.backends.embedding_modules import files_of_modules, read_modules, read_projection
from hubkit.backends.projection import MODULES, has_projection, write_projection
from hubkit.errors import ModelError
from hubkit.recipe import TaskName
from hubkit.records import BaseModelInfo, Embedding, Record, Source
from hubkit.stage import Context, stage
from hubkit.stages.hub_source import HubReader, Wanted, hub_reader
from hubkit.stages.model_config import (
    ModelConfig,
    read_any_config,
    read_config,
    without_head,
)
from hubkit.stages.model_files import (
    CONFIG,
    SAFE_INDEX,
    TORCH_INDEX,
    digest_of_model,
    kept_files,
    shards_of,
    small_files,
    weights_form,
)
from hubkit.stages.torch_weights import save_as_safetensors


class FetchModelInput(Record):
    """`path`: the folder of a local model, whose digest is in `source`; None: from the Hub.

    `head` any: the model is to be fine-tuned, and need not be for the task yet. `modules`: those of
    sentence-transformers are honoured, where features are extracted.
    """

    source: Source
    task: TaskName = "text-classification"
    path: str | None = None
    head: Literal["task", "any"] = "task"
    modules: Literal[True] = True

    @model_serializer(mode="wrap")
    def _without_the_usual(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """What was fetched before there was `head` is found again."""
        value: dict[str, object] = serialize(self)
        if self.head == "task":
            value.pop("head", None)
        if self.task != "feature-extraction":
            value.pop("modules", None)
        return value


@stage(
    "fetch-model",
    version=3,
    kind="heavy",
    takes=FetchModelInput,
    gives=BaseModelInfo,
    tools=("safetensors", "torch", "transformers"),
    unkeyed=("path",),
)
def fetch_model(given: FetchModelInput, ctx: Context) -> BaseModelInfo:
    """The model that `source` pins, as an artifact, and what its configuration says of it.

    A model of sentence-transformers whose embedding is more than the mean over its tokens keeps
    what makes it, as a projection. Raises ModelError for a model of another task or without weights
    or tokenizer, or with modules that hubkit does not compute, HubError where the Hub does not give
    it.
    """
    folder = ctx.scratch / "model"
    folder.mkdir()
    if given.path is None:
        form = _download(given, ctx, folder)
    else:
        form = _copy(given, Path(given.path), folder)
    if given.task == "feature-extraction":
        _drop_head(folder / CONFIG, given.source.id)
    embedding = _embedding(given, folder)
    config = _config(given, folder)
    if form.startswith("pytorch"):
        ctx.progress("converting the weights to safetensors", 0, 0)
        bins = shards_of(folder / form) if form == TORCH_INDEX else [form]
        save_as_safetensors(folder, bins, given.source.id)
        for name in {*bins, form}:
            (folder / name).unlink()
    weights = sorted(path for path in folder.rglob("*.safetensors"))
    counted = sum(parameters_of(path) for path in weights)
    size = sum(path.stat().st_size for path in weights)
    return BaseModelInfo(
        artifact=ctx.store.adopt(folder),
        architecture=config.architecture,
        model_type=config.model_type,
        labels=config.labels,
        num_parameters=counted,
        max_positions=config.max_positions,
        weights_bytes=size,
        description=config.origin,
        embedding=embedding,
    )


def _embedding(given: FetchModelInput, folder: Path) -> Embedding | None:
    """How the model makes an embedding, with the files for it in hubkit's own form; None, and none
    of these files, where that is the mean over the tokens and nothing else."""
    if not has_projection(folder):
        return None
    wanted = given.task == "feature-extraction"
    found = read_projection(folder, given.source.id) if wanted else None
    (folder / MODULES).unlink()
    for below in [path for path in folder.iterdir() if path.is_dir()]:
        shutil.rmtree(below)
    if found is None or found.plain:
        return None
    write_projection(found, folder)
    return Embedding(
        pooling=found.pooling,
        dimensions=found.dimensions,
        activation=None if found.weight is None else found.activation,
        normalized=found.normalized,
    )


def _config(given: FetchModelInput, folder: Path) -> ModelConfig:
    read = read_any_config if given.head == "any" else read_config
    return read(folder / CONFIG, given.source.id, given.task)


def _drop_head(path: Path, model_id: str) -> None:
    """Let config.json name the Transformer alone: whoever loads the folder goes by that class."""
    architecture = read_config(path, model_id, "feature-extraction").architecture
    config = json.loads(path.read_text(encoding="utf-8"))
    if architecture != without_head(architecture):
        config["architectures"] = [without_head(architecture)]
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _copy(given: FetchModelInput, path: Path, folder: Path) -> str:
    names = kept_files(path)
    if given.task == "feature-extraction" and has_projection(path):
        read_projection(path, given.source.id)  # refuses what is not known
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path / name, folder / name)
    if digest_of_model(folder) != given.source.sha:
        raise ModelError(
            f"the model folder {given.source.id} was changed while it was read",
            hint="Run the same command again.",
        )
    return weights_form(names, given.source.id)


def _download(given: FetchModelInput, ctx: Context, folder: Path) -> str:
    wanted = Wanted("model", given.source.id, given.source.sha)
    download = _Download(hub_reader(ctx.endpoint, ctx.token, downloads=True), wanted, folder, ctx)
    present = {name for name in download.sizes if "/" not in name}
    form = weights_form(present, str(wanted))
    download.get([CONFIG])
    # Before the weights: a model of another task is refused in a second.
    _config(given, folder)
    if given.task == "feature-extraction" and MODULES in present:
        download.get([MODULES])
        modules = read_modules(folder / MODULES, str(wanted))
        download.get(files_of_modules(modules, download.sizes))
    weights = [form]
    if form in (SAFE_INDEX, TORCH_INDEX):
        download.get([form])
        weights = shards_of(folder / form)
    download.get([*small_files(present), *weights])
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # huggingface_hub's own notes
    return form


class _Download:
    """Single files of a repository at a commit, into a folder; `sizes`: file -> bytes."""

    def __init__(self, reader: HubReader, wanted: Wanted, folder: Path, ctx: Context) -> None:
        self._reader, self._wanted, self._folder, self._ctx = reader, wanted, folder, ctx
        info = reader.read(
            wanted,
            lambda api: api.model_info(wanted.id, revision=wanted.revision, files_metadata=True),
        )
        self.sizes = {s.rfilename: s.size or 0 for s in info.siblings or []}

    def get(self, names: list[str]) -> None:
        """Download files that are not there yet. Raises ModelError for one the Hub has not."""
        lacking = [name for name in names if name not in self.sizes]
        if lacking:
            raise ModelError(
                f"{self._wanted} lacks {lacking[0]}, which its index of weights names",
                hint="Its repository is not whole: choose another revision of it.",
            )
        missing = [name for name in names if not (self._folder / name).is_file()]
        total = sum(self.sizes[name] for name in missing)
        done = 0
        for name in missing:
            self._ctx.progress("downloading the model", done, total)
            self._get(name)
            done += self.sizes[name]

    def _get(self, name: str) -> None:
        self._reader.read(
            self._wanted,
            lambda api: api.hf_hub_download(
                self._wanted.id,
                name,
                revision=self._wanted.revision,
                local_dir=self._folder,
            ),
        )


class _Tensor(BaseModel):
    """What the header of a safetensors file says of a tensor; offsets count from its end."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


_HEADER = TypeAdapter(dict[str, _Tensor])


def parameters_of(path: Path) -> int:
    """Number of weights in a safetensors file, from its header alone (format: 8 bytes little-endian
    length, then that many bytes of JSON, then the data; huggingface/safetensors).

    Raises ModelError where it is no such file, or not whole, as after a download that was cut off.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        text = stream.read(length) if length <= size else b""
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        tensors = _HEADER.validate_python(header)
    except (ValueError, AttributeError) as error:
        raise ModelError(
            f"{path.name} is no safetensors file",
            hint="Copy or download it again, or save the model again with save_pretrained.",
        ) from error
    whole = 8 + length + max((t.data_offsets[1] for t in tensors.values()), default=0)
    if size != whole:
        raise ModelError(
            f"{path.name} is not whole: it has {size:,} bytes, and its header tells of {whole:,}",
            hint="Copy or download it again, or save the model again with save_pretrained.",
        )
    # Integer tensors are buffers, such as position ids.
    return sum(math.prod(tensor.shape) for tensor in tensors.values() if "F" in tensor.dtype)
