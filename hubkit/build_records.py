"""The base model, and what was done to it before it was quantized: what lock.json and the card tell
of it."""

from __future__ import annotations

from typing import Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from hubkit.record_base import Artifact, Record


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


class Projected(Record):
    """A linear layer after pooling, fitted by principal component analysis.

    `rows`: those it was fitted to, of `rows_available` in the split; `overlapping` and `unusable`
    as in Finetuned. `explained_variance`: the share of the variance of these rows' pooled
    embeddings that the `dimensions` hold, 0 to 1. `width`: numbers of an embedding before it.
    """

    dimensions: int
    width: int
    pooling: Literal["mean", "cls"]
    split: str
    rows: int
    rows_available: int
    overlapping: int
    unusable: int
    max_length: int
    seed: int
    explained_variance: float


class Embedding(Record):
    """What a base that is a model of sentence-transformers makes of the states of its tokens.
    `activation`: of the linear layer after pooling; None: it has no such layer."""

    pooling: Literal["mean", "cls"]
    dimensions: int
    activation: str | None = None
    normalized: bool = False


class BaseModelInfo(Record):
    """The base model as fetched: config.json, tokenizer files and safetensors weights in
    `artifact`."""

    artifact: Artifact
    architecture: str  # DistilBertForSequenceClassification
    model_type: str  # distilbert
    labels: tuple[str, ...]  # id2label in order
    num_parameters: int
    max_positions: int
    weights_bytes: int
    description: str | None = None  # config key "hubkit_origin", where hubkit built the model
    embedding: Embedding | None = None  # None: the mean over its tokens

    @model_serializer(mode="wrap")
    def _without_no_embedding(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """A base without modules of its own is written as before there were such."""
        value: dict[str, object] = serialize(self)
        if self.embedding is None:
            value.pop("embedding", None)
        return value


class BaseBuild(Record):
    """Everything that hubkit did to the base, in the order it was done; None: not done."""

    pruned: Pruned | None = None
    finetuned: Finetuned | None = None
    projected: Projected | None = None

    @model_serializer(mode="wrap")
    def _without_a_projection(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """lock.json of a base without one is that of before there was any."""
        value: dict[str, object] = serialize(self)
        if self.projected is None:
            value.pop("projected", None)
        return value
