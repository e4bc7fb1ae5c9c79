"""A model folder as something that can be served: loaded, looked at, with its tokenizer."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.errors import ModelError
from hubkit.formats_records import Engine, ServingConfig
from hubkit.serving.pool import Pool
from hubkit.serving.probing import probe
from hubkit.serving.served import Served
from hubkit.stages.model_config import positions_of
from hubkit.stages.serving_worker import load_instances, pool_of

if TYPE_CHECKING:
    from hubkit.serving.batching import Inputs

_PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "openvino": "openvino"}
_KNOWN_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FEWEST_ROWS = 32  # that one request may have, however small batches are


@dataclass(frozen=True)
class ModelFiles:
    """What is served: `model_file` below `folder`, and config.json and the tokenizer in `home`."""

    name: str
    folder: Path
    model_file: str
    home: Path


def load_served(
    files: ModelFiles, engine: Engine, config: ServingConfig, max_queue: int
) -> tuple[Served, Pool]:
    """The model as it is served, and the pool that runs it.

    Raises ModelError for a model that takes what no text has, or does not say its vocabulary.
    """
    said = json.loads((files.home / "config.json").read_text(encoding="utf-8"))
    vocabulary = said.get("vocab_size")
    if not isinstance(vocabulary, int) or vocabulary < 2:
        raise ModelError("config.json of the model does not tell its vocab_size")
    models = load_instances(engine, files.folder, files.model_file, config)
    names = models[0].input_names
    if unknown := [name for name in names if name not in _KNOWN_INPUTS]:
        raise ModelError(f"{files.name} takes {unknown[0]}, which a text does not have")
    pad = said.get("pad_token_id")
    pad_id = pad if isinstance(pad, int) and 0 <= pad < vocabulary else 0
    longest = positions_of(said)
    facts = probe(models[0], min(1, vocabulary - 1) if pad_id != 1 else 0, longest)
    served = Served(
        name=files.name,
        platform=_PLATFORMS.get(engine.runtime, engine.runtime),
        inputs=names,
        outputs=facts.shapes,
        vocabulary=vocabulary,
        max_length=longest,
        token_types=int(said.get("type_vocab_size") or 2),
        max_rows=max(_FEWEST_ROWS, config.max_batch),
        tokenize=_tokenizing(files.home, names, longest),
    )
    return served, pool_of(models, config, facts, pad_id, max_queue)


def _tokenizing(
    home: Path, names: tuple[str, ...], max_length: int
) -> Callable[[Sequence[str]], Inputs] | None:
    """Texts to inputs, padded to the longest; None for a folder without a tokenizer."""
    from hubkit.tasks.tokenizing import load_tokenizer

    if not any((home / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        return None
    tokenizer = load_tokenizer(home)

    def tokenize(texts: Sequence[str]) -> Inputs:
        import numpy as np

        made = tokenizer(texts, None, max_length=max_length)
        shape = (len(texts), max(1, *(len(ids) for ids in made.ids)))
        ids = np.full(shape, tokenizer.pad_id, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, (own, kinds) in enumerate(zip(made.ids, made.token_types, strict=True)):
            ids[row, : len(own)], mask[row, : len(own)], types[row, : len(own)] = own, 1, kinds
        known = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        return {name: known[name] for name in names}

    return tokenize
