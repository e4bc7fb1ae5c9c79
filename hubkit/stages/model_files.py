"""Which files make a model folder: configuration, weights in one form, tokenizer."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from hubkit.backends.embedding_modules import files_of_modules, read_modules, read_projection
from hubkit.backends.projection import MODULES
from hubkit.errors import ModelError
from hubkit.keys import digest_of_file, digest_of_value

CONFIG = "config.json"
SAFE, SAFE_INDEX = "model.safetensors", "model.safetensors.index.json"
TORCH, TORCH_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
# The order is that of preference: safetensors cannot hold code.
WEIGHTS = (SAFE, SAFE_INDEX, TORCH, TORCH_INDEX)

_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "bpe.codes",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
)
_VOCABULARIES = frozenset(_TOKENIZER) - {
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
}


def weights_form(names: Iterable[str], where: str) -> str:
    """The weights file (or index of shards) to take, of those in a folder or repository.

    Raises ModelError where config.json, weights or a tokenizer is missing; `where` names the place.
    """
    present = set(names)
    if CONFIG not in present:
        raise ModelError(
            f"{where} holds no {CONFIG}, so it is no Transformers model",
            hint="Name a model that `AutoModelForSequenceClassification` can load.",
        )
    if not _VOCABULARIES & present:
        raise ModelError(
            f"{where} holds no tokenizer",
            hint="Add the tokenizer's files (tokenizer.save_pretrained) beside config.json.",
        )
    found = next((name for name in WEIGHTS if name in present), None)
    if found is None:
        raise ModelError(
            f"{where} holds no PyTorch weights ({SAFE} or {TORCH})",
            hint="Load it once with Transformers (from_tf, from_flax) and save it as safetensors.",
        )
    return found


def small_files(names: Iterable[str]) -> list[str]:
    """config.json and the tokenizer files among the names, sorted."""
    return sorted({CONFIG, *_TOKENIZER} & set(names))


def shards_of(index: Path) -> list[str]:
    """The weight files that an index names, sorted. Raises ModelError where it is no such index, or
    names a file outside its own folder."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"{index.name} is no index of weight files",
            hint="Save the model again with save_pretrained.",
        ) from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or "\\" in name:
            raise ModelError(
                f"{index.name} names {name!r}, which is no file beside it",
                hint="Save the model again with save_pretrained.",
            )
    return names


def kept_files(folder: Path) -> list[str]:
    """The files of a local folder that make the model, sorted: where it is one of
    sentence-transformers, with those of its modules. Raises ModelError as above."""
    names = [p.name for p in folder.iterdir() if p.is_file()]
    form = weights_form(names, f"the folder {folder.name}")
    weights = [form]
    if form in (SAFE_INDEX, TORCH_INDEX):
        weights += shards_of(folder / form)
    for name in weights:
        if name not in names:
            raise ModelError(
                f"the folder {folder.name} lacks {name}, which {form} names",
                hint="Copy the missing weights, or save the model again with save_pretrained.",
            )
    return sorted([*small_files(names), *weights, *_module_files(folder)])


def _module_files(folder: Path) -> list[str]:
    """Those that matter beside the Transformer; none where embeddings are the mean over tokens and
    nothing else, as they are without them."""
    if not (folder / MODULES).is_file():
        return []
    try:
        modules = read_modules(folder / MODULES, folder.name)
        dense = any(module.kind == "Dense" for module in modules)
        if not dense and read_projection(folder, folder.name).plain:
            return []
    except ModelError:  # said when the model is fetched for its embeddings
        return []
    below = [f"{m.path}/{p.name}" for m in modules if m.path for p in (folder / m.path).glob("*")]
    return files_of_modules(modules, [MODULES, *below])


def digest_of_model(folder: Path) -> str:
    """SHA-256 over the files of a local folder that make the model; other files do not count."""
    return digest_of_value({name: digest_of_file(folder / name) for name in kept_files(folder)})
