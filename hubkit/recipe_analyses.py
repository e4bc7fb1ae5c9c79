"""The part of a recipe that says which rows are looked at apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from hubkit.recipe_card import Part

Tokens = Annotated[int, Field(ge=1)]


def _fault(what: str) -> PydanticCustomError:
    """An error whose text is `what` alone; of a ValueError pydantic makes "Value error, ..."."""
    return PydanticCustomError("slice", "{what}", {"what": what})


class LengthRange(Part):
    """Rows by their length in tokens, both ends included; null: no limit."""

    at_least: Tokens | None = Field(None, description="Fewest tokens of a row.")
    at_most: Tokens | None = Field(None, description="Most tokens of a row.")

    @model_validator(mode="after")
    def _some_limit(self) -> Self:
        low, high = self.at_least, self.at_most
        if low is None and high is None:
            raise _fault("name at_least, at_most or both")
        if low is not None and high is not None and low > high:
            raise _fault(f"no row has at least {low} and at most {high} tokens")
        return self


class Slice(Part):
    """Some rows of the evaluation split, by one of length, label or pattern."""

    name: str = Field(min_length=1, max_length=60, description="Name of the slice on the card.")
    length: LengthRange | None = Field(None, description="Rows by their length in tokens.")
    label: str | None = Field(None, description="Rows with this reference label.")
    pattern: str | None = Field(
        None, description="Rows whose text this regular expression finds; add (?i) for any case."
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise _fault(f"no regular expression: {error}") from None
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        given = [key for key in ("length", "label", "pattern") if getattr(self, key) is not None]
        if len(given) != 1:
            raise _fault("name one of length, label and pattern")
        return self


def labels_meant(wanted: str, labels: Iterable[str]) -> tuple[str, ...]:
    """The labels of a token classifier that are `wanted` itself, or begin or go on with an entity
    of that type: B-PER and I-PER for PER."""
    return tuple(label for label in labels if wanted in (label, entity_type(label)))


def entity_type(label: str) -> str:
    """PER of B-PER; a label that has no type is its own."""
    tag, _, kind = label.partition("-")
    return kind if kind and tag in ("B", "I", "E", "S") else label


class AnalysesPlan(Part):
    """Which rows are scored apart, original against optimized, for the card's quantitative
    analyses."""

    group_columns: tuple[str, ...] = Field(
        (), description="Columns of the dataset; each of their values is a slice."
    )
    slices: tuple[Slice, ...] = Field((), description="Slices by length, label or pattern.")
