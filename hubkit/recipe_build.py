"""The part of a recipe that makes its base: layers taken out, fine-tuning on the recipe's data, and
a projection of its embeddings.

A base is pruned first, then fine-tuned or given a projection. `every_second` counts from 0, as the
layer reduction in sentence-transformers' examples does for six of twelve layers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
)
from pydantic_core import PydanticCustomError

from hubkit.nearest import did_you_mean
from hubkit.recipe_card import Part

EVERY_SECOND: Literal["every_second"] = "every_second"
# 3e-5 is a number in YAML 1.2 and in editors, and text in YAML 1.1.
_EXPONENT = re.compile(r"\d+[eE][-+]?\d+")


def _layers(value: object) -> object:
    """`every_second`, or ascending layer numbers. Faults are in the words of recipe files."""
    if value == EVERY_SECOND:
        return value
    if isinstance(value, str):
        near = did_you_mean(value, [EVERY_SECOND])
        raise _fault(f'expected every_second or a list of layer numbers, found "{value}"{near}')
    if not isinstance(value, Sequence):
        raise _fault("expected every_second or a list of layer numbers, such as [0, 2, 4]")
    if not value:
        raise _fault("must not be empty: a model without layers is none")
    for at, one in enumerate(value):
        if not isinstance(one, int) or isinstance(one, bool) or one < 0:
            raise _fault(f"{one} is no layer: they are counted from 0")
        if one in value[:at]:
            raise _fault(f"layer {one} is listed twice")
    if list(value) != sorted(value):
        raise _fault("layers stay in their order: list them from the lowest to the highest")
    return tuple(value)


def _plain(value: tuple[int, ...] | str) -> list[int] | str:
    return value if isinstance(value, str) else list(value)


def _fault(what: str) -> PydanticCustomError:
    # The braces of a message would be read as places of a template.
    return PydanticCustomError("layers", "{what}", {"what": what})


def _number(value: object) -> object:
    return float(value) if isinstance(value, str) and _EXPONENT.fullmatch(value) else value


Layers = Annotated[
    tuple[int, ...] | Literal["every_second"],
    PlainValidator(_layers),
    PlainSerializer(_plain),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": EVERY_SECOND},
                {
                    "type": "array",
                    "items": {"type": "integer", "minimum": 0},
                    "minItems": 1,
                    "uniqueItems": True,
                },
            ]
        }
    ),
]

Rate = Annotated[
    float,
    Field(gt=0, lt=1),
    BeforeValidator(_number),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                {"type": "string", "pattern": f"^{_EXPONENT.pattern}$"},
            ]
        }
    ),
]


class Prune(Part):
    """Layers of the base are taken out before anything else is done; its head stays."""

    layers: Layers = Field(
        description="Layers that stay, counted from 0: a list, or every_second (0, 2, 4, ...)."
    )


class Finetune(Part):
    """The base is trained on the recipe's dataset with transformers' Trainer: AdamW, gradients cut
    at norm 1, a rate that rises over `warmup_ratio` of the steps and then falls to 0, both in a
    line."""

    split: str = Field(
        "train", description="Split that is trained on; never dataset.eval_split, and none of it."
    )
    samples: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Rows to train on, drawn with the seed; null: the whole split."
    )
    epochs: Annotated[int, Field(ge=1)] = Field(3, description="Passes over the rows.")
    learning_rate: Rate = Field(5e-5, description="Highest learning rate of AdamW.")
    batch_size: Annotated[int, Field(ge=1)] = Field(32, description="Rows a step.")
    max_length: Annotated[int, Field(ge=2)] = Field(
        128, description="Tokens after which a row is cut in training."
    )
    warmup_ratio: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.06, description="Share of the steps over which the learning rate rises."
    )
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="Weight decay of AdamW."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        13, description="Seed of the new head, of the choice and order of rows, and of dropout."
    )
    aware_training: bool = Field(
        False, description="Quantization-aware training; refused, docs/recipe.md says why."
    )


class Project(Part):
    """The embedding of a text, pooled over its tokens, goes through a linear layer that makes it
    shorter: a principal component analysis of the recipe's own texts (Hotelling 1933), as
    sentence-transformers' example of dimensionality reduction has it."""

    dimensions: Annotated[int, Field(ge=1)] = Field(
        description="Numbers of the embedding that comes out; at most the model's hidden size."
    )
    pooling: Literal["mean", "cls"] = Field(
        "mean", description="mean: over the tokens of a text; cls: its first token."
    )
    split: str = Field(
        "train", description="Split that it is fitted on; never dataset.eval_split, and none of it."
    )
    samples: Annotated[int, Field(ge=2)] | None = Field(
        None, description="Rows to fit it on, drawn with the seed; null: the whole split."
    )
    max_length: Annotated[int, Field(ge=2)] = Field(
        128, description="Tokens after which a row is cut where it is fitted."
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        13, description="Seed of the choice of rows."
    )


class Built(Part):
    """What every kind of base may have done to it."""

    prune: Prune | None = Field(None, description="Layers to keep; null: all of them.")
    finetune: Finetune | None = Field(
        None, description="Training on the recipe's dataset; null: the base is used as it is."
    )
    project: Project | None = Field(
        None, description="A linear layer that makes embeddings shorter; null: none."
    )

    @model_serializer(mode="wrap")
    def _without_what_is_not_done(
        self, serialize: SerializerFunctionWrapHandler
    ) -> dict[str, object]:
        """A base that nothing is done to has the digest that it had before there were the keys."""
        value: dict[str, object] = serialize(self)
        done = {key: value.pop(key, None) for key in ("prune", "finetune", "project")}
        return {**value, **{key: what for key, what in done.items() if what is not None}}


def kept_layers(layers: tuple[int, ...] | Literal["every_second"], count: int) -> tuple[int, ...]:
    """The numbers of the layers that stay of a model with `count` of them; not all of them need be
    there."""
    return tuple(range(0, count, 2)) if isinstance(layers, str) else layers
