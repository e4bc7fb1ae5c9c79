"""Rows, a tiny model and its outputs for every task: what the contract is tried on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from hubkit.backends import torch
from hubkit.tasks import task_for
from hubkit.tasks.base import Encoding, Rows, Task
from tests.tiny import ENTITIES, SENTENCES, make_tiny_model

if TYPE_CHECKING:
    from hubkit.tasks.base import Arrays, Floats, Ints, Scorer

WORDS = [sentence.split() for sentence in SENTENCES]
_TAGS = [[(row + 2 * at) % 5 for at in range(len(words))] for row, words in enumerate(WORDS)]
CONTEXTS = [
    " ".join(SENTENCES[at:] + SENTENCES[:at])[: 40 + 30 * at] for at in range(len(SENTENCES))
]
Kept = Callable[["Example", object], Rows]


def _as_labels(example: Example, answers: object) -> Rows:
    return Rows(example.rows.columns, cast("Ints", answers).tolist())


def _as_word_labels(example: Example, answers: object) -> Rows:
    ids = iter(cast("Ints", answers).tolist())
    words = example.rows.columns["primary"]
    return Rows(example.rows.columns, [[next(ids) for _ in row] for row in words])


def _as_answers(example: Example, answers: object) -> Rows:
    texts: Sequence[str] = answers.texts  # type: ignore[attr-defined]
    return Rows(example.rows.columns, [[text] for text in texts])


@dataclass(frozen=True)
class _Kind:
    rows: Rows
    labels: tuple[str, ...]
    answered: Kept  # the rows, with what a model answered as their reference


KINDS = {
    "text-classification": _Kind(
        Rows({"primary": SENTENCES}, [at % 2 for at in range(len(SENTENCES))]),
        ("NEGATIVE", "POSITIVE"),
        _as_labels,
    ),
    "token-classification": _Kind(Rows({"primary": WORDS}, _TAGS), ENTITIES, _as_word_labels),
    "question-answering": _Kind(
        Rows(
            {"question": SENTENCES, "context": CONTEXTS},
            [[context[8:30]] for context in CONTEXTS],
        ),
        (),
        _as_answers,
    ),
    "feature-extraction": _Kind(
        Rows({"primary": SENTENCES}, None), (), lambda example, _: example.rows
    ),
}


@dataclass
class Example:
    """A task with its tiny model and `rows`, tokenized. `other`: the model with other weights."""

    name: str
    folder: Path
    other: Path
    max_length: int = 64
    _kept: dict[tuple[Path, int], list[Floats]] = field(default_factory=dict)

    @property
    def task(self) -> Task:
        return task_for(self.name)

    @property
    def rows(self) -> Rows:
        return KINDS[self.name].rows

    @property
    def labels(self) -> tuple[str, ...]:
        return KINDS[self.name].labels

    def encoding(self) -> Encoding:
        return self.task.encode(self.rows, self.folder, max_length=self.max_length)

    def arrays(self, encoding: Encoding) -> Arrays:
        """What encoded.npz holds."""
        lengths = [len(ids) for ids in encoding.ids]
        return {
            "offsets": np.cumsum([0, *lengths], dtype=np.int64),
            "input_ids": np.array([i for ids in encoding.ids for i in ids], dtype=np.int64),
            **encoding.arrays,
        }

    def kept(self, folder: Path, batch_size: int) -> list[Floats]:
        """What is kept of each input, run in batches of so many."""
        if (folder, batch_size) not in self._kept:
            encoding = self.encoding()
            session = torch.runtime.load(folder, "model.safetensors", threads=1)
            found: list[Floats] = []
            for start in range(0, len(encoding.ids), batch_size):
                inputs = np.arange(start, min(start + batch_size, len(encoding.ids)))
                outputs = session.run(padded(encoding, inputs.tolist()))
                found += self.task.keep(outputs, inputs, self.arrays(encoding))
            self._kept[folder, batch_size] = found
        return self._kept[folder, batch_size]

    def scorer(self, scratch: Path, rows: Rows | None = None) -> Scorer[object]:
        """Of the rows, or of the same with other references."""
        rows = self.rows if rows is None else rows
        encoding = self.task.encode(rows, self.folder, max_length=self.max_length)
        return self.task.scorer(self.arrays(encoding), rows, self.labels, scratch)

    def answered(self, answers: object) -> Rows:
        """The rows with these answers as their references."""
        return KINDS[self.name].answered(self, answers)


def padded(encoding: Encoding, inputs: Sequence[int]) -> Arrays:
    """A batch, padded on the right with token 0 and no attention."""
    ids = [encoding.ids[number] for number in inputs]
    longest = max(map(len, ids))
    rows = [[*row, *[0] * (longest - len(row))] for row in ids]
    mask = [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
    return {"input_ids": np.array(rows), "attention_mask": np.array(mask)}


def make_example(name: str, root: Path) -> Example:
    one, other = (make_tiny_model(root / name / str(s), task=name, seed=s) for s in (0, 1))
    return Example(name, one, other)
