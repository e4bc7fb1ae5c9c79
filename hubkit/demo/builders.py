"""Builders by name: what a recipe with `base.source: built` may name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hubkit.errors import UsageError
from hubkit.registry import Registry
from hubkit.stage import Progress

BUILDERS = Registry(
    "builder",
    {
        "conll-ner": "hubkit.demo.conll_ner:BUILDER",
        "movie-embeddings": "hubkit.demo.movie_embeddings:BUILDER",
        "movie-encoder": "hubkit.demo.movie_encoder:BUILDER",
        "movie-sentiment": "hubkit.demo.movie_sentiment:BUILDER",
    },
    group="hubkit.builders",
)


@dataclass(frozen=True)
class BuiltFolders:
    """A model folder and a dataset folder, each as it would lie on the Hub, and how good it is."""

    model: Path
    dataset: Path
    validation_accuracy: float | None  # share of right labels, 0 to 1; None: it gives none
    validation_f1: float | None = None  # of entities, 0 to 1; None where there are none


@dataclass(frozen=True)
class Builder:
    """Makes a model and its dataset. `identity` is the SHA-256 of all that decides the result, but
    for the versions of tools; the origins say in a sentence from what each was made;
    `dataset_public`: False where the rows may be read on this machine, and passed on to nobody."""

    identity: str
    model_origin: str
    dataset_origin: str
    build: Callable[[Path, Progress], BuiltFolders]
    dataset_public: bool = True


def find_builder(name: str) -> Builder:
    """The builder of that name, imported now. Raises UsageError for another name."""
    found = BUILDERS.get(name)
    if not isinstance(found, Builder):
        raise UsageError(f"{name} is not a builder")
    return found
