"""The movie sentences: rated by people for VADER (Hutto & Gilbert 2014), as a labelled dataset."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from hubkit.demo.materials import MOVIES
from hubkit.errors import DataError

LABELS = ("NEGATIVE", "POSITIVE")
CLEAREST_NEUTRAL = 0.5  # sentences rated nearer to 0 than this are neither
VALIDATION_ROWS = 1000
TEST_ROWS = 1000
SEED = 13


@dataclass(frozen=True)
class Sentence:
    """A sentence and its mean human rating, -4 (negative) to 4 (positive)."""

    text: str
    rating: float

    @property
    def label(self) -> int:
        """Index in LABELS."""
        return int(self.rating > 0)


@dataclass(frozen=True)
class Splits:
    train: tuple[Sentence, ...]
    validation: tuple[Sentence, ...]
    test: tuple[Sentence, ...]


def read_sentences(path: Path) -> list[Sentence]:
    """The clearly positive or negative sentences of a ground-truth file, each text once.

    The file has one sentence a line: id, mean rating, text, with tabs between. Raises DataError for
    a line of another form.
    """
    found: dict[str, Sentence] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            _, rating, text = line.split("\t")
            sentence = Sentence(text.strip(), float(rating))
        except ValueError as error:
            raise DataError(
                f"{path.name}, line {number}: not an id, a rating and a text with tabs between",
                hint="Remove the file, so that the next run downloads it again.",
            ) from error
        if abs(sentence.rating) >= CLEAREST_NEUTRAL:
            found.setdefault(sentence.text, sentence)
    return list(found.values())


def split(sentences: list[Sentence]) -> Splits:
    """Three seeded parts of the sentences: 1,000 to validate, 1,000 to test, the rest to train."""
    rows = list(sentences)
    random.Random(SEED).shuffle(rows)
    train = len(rows) - VALIDATION_ROWS - TEST_ROWS
    if train < 1:
        raise DataError(
            f"{len(rows)} sentences are too few for a validation and a test split of 1,000 each",
            hint="Remove the folder of the material, so that the next run downloads it again.",
        )
    return Splits(
        tuple(rows[:train]),
        tuple(rows[train : train + VALIDATION_ROWS]),
        tuple(rows[train + VALIDATION_ROWS :]),
    )


def write_dataset(splits: Splits, folder: Path) -> None:
    """A Hub dataset: data/SPLIT-00000-of-00001.parquet and README.md; same rows, same bytes."""
    (folder / "data").mkdir(parents=True)
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    for name, rows in parts.items():
        _write_parquet(rows, folder / "data" / f"{name}-00000-of-00001.parquet")
    (folder / "README.md").write_text(dataset_card(splits), encoding="utf-8")


def _write_parquet(rows: tuple[Sentence, ...], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    # `datasets` reads its features from this metadata; without it a ClassLabel would be an int64.
    features = {
        "sentence": {"dtype": "string", "_type": "Value"},
        "label": {"names": list(LABELS), "_type": "ClassLabel"},
        "rating": {"dtype": "float64", "_type": "Value"},
    }
    schema = pa.schema(
        [("sentence", pa.string()), ("label", pa.int64()), ("rating", pa.float64())],
        metadata={"huggingface": json.dumps({"info": {"features": features}})},
    )
    columns = [[r.text for r in rows], [r.label for r in rows], [r.rating for r in rows]]
    pq.write_table(pa.table(columns, schema=schema), path)


def dataset_card(splits: Splits) -> str:
    """README.md of the dataset, with its Hub metadata."""
    rows = len(splits.train) + len(splits.validation) + len(splits.test)
    positive = sum(r.label for part in (splits.train, splits.validation, splits.test) for r in part)
    counts = "\n".join(
        f"| {name} | {len(part):,} | {len(part) - sum(r.label for r in part):,} |"
        f" {sum(r.label for r in part):,} |"
        for name, part in (
            ("train", splits.train),
            ("validation", splits.validation),
            ("test", splits.test),
        )
    )
    return f"""\
---
license: mit
language:
- en
pretty_name: Movie sentences
task_categories:
- text-classification
task_ids:
- sentiment-classification
size_categories:
- {"10K<n<100K" if rows > 10_000 else "1K<n<10K"}
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

# Movie sentences

{rows:,} English sentences from film reviews, {positive:,} of them positive, each with the mean
of its human ratings.

| split | sentences | NEGATIVE | POSITIVE |
|---|---:|---:|---:|
{counts}

- `sentence`: the text
- `label`: 0 NEGATIVE, 1 POSITIVE: the sign of the rating
- `rating`: mean human rating, from -4 (extremely negative) to 4 (extremely positive)

## Where it comes from

The file `movieReviewSnippets_GroundTruth.txt` in `additional_resources/hutto_ICWSM_2014.tar.gz` of
the Python package {MOVIES.package} {MOVIES.version} (source archive, SHA-256
`{MOVIES.sha256}`; MIT licence).
Its sentences are from the corpus of film reviews that SST was built on, rated anew by people for
VADER.

## What hubkit did to it

1. Sentences rated nearer to 0 than {CLEAREST_NEUTRAL} were left out: they are neither positive nor
   negative.
2. A sentence that occurs again was left out.
3. The rest was shuffled with the seed {SEED} and split.

This is not SST-2: the corpus is the same, the labels are from other people's ratings.

## Citation

```bibtex
@inproceedings{{hutto2014vader,
  title     = {{VADER: A Parsimonious Rule-based Model for Sentiment Analysis of
               Social Media Text}},
  author    = {{Hutto, C.J. and Gilbert, Eric}},
  booktitle = {{Proceedings of the Eighth International AAAI Conference on Weblogs and
               Social Media (ICWSM-14)}},
  year      = {{2014}}
}}
```
"""
