"""What was done to a base before it was quantized: what lock.json and the card tell of it."""

from __future__ import annotations

from typing import Literal

from hubkit.record_base import Record


class Pruned(Record):
    """Layers taken out of a model. `layers_kept` are counted from 0."""

    layers_kept: tuple[int, ...]
    layers_before: int
    num_parameters_before: int


class Finetuned(Record):
    """A training run with transformers' Trainer: AdamW, linear warm-up and decay.

    `rows`: those trained on, of `rows_available` in the split; left out were `overlapping` (they
    are in the evaluation split too) and `unusable` ones (without text or a word to learn, or with a
    value that the recipe maps to no label). `head` new: made for the recipe's labels. `loss`: mean
    over the steps of the last epoch.
    """

    split: str
    rows: int
    rows_available: int
    overlapping: int
    unusable: int
    head: Literal["kept", "new"]
    epochs: int
    learning_rate: float
    batch_size: int
    max_length: int
    warmup_ratio: float
    weight_decay: float
    seed: int
    steps: int
    loss: float


class BaseBuild(Record):
    """Everything that hubkit did to the base, in the order it was done; None: not done."""

    pruned: Pruned | None = None
    finetuned: Finetuned | None = None
