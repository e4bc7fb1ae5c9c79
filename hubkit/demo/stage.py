"""The stage `build-demo`: a model and a dataset that hubkit makes itself."""

from __future__ import annotations

from hubkit.demo.builders import find_builder
from hubkit.records import Artifact, Record, Sha
from hubkit.stage import Context, stage


class BuildInput(Record):
    """Which builder, and the identity of what it would make."""

    builder: str
    identity: Sha


class BuiltDemo(Record):
    """The model folder and the dataset folder as they lie on the Hub, README.md and all; a dataset
    that is not public stays in the store."""

    builder: str
    model: Artifact
    dataset: Artifact
    model_origin: str
    dataset_origin: str
    validation_accuracy: float | None  # share of right labels, 0 to 1; None: it gives none
    validation_f1: float | None = None  # of entities, 0 to 1; None where there are none
    dataset_public: bool = True


def build_input(builder: str) -> BuildInput:
    """The input for a builder of this version of hubkit. Raises UsageError for an unknown name."""
    return BuildInput(builder=builder, identity=find_builder(builder).identity)


@stage(
    "build-demo",
    version=1,
    kind="heavy",
    takes=BuildInput,
    gives=BuiltDemo,
    tools=("numpy", "pyarrow", "safetensors", "tokenizers", "torch", "transformers"),
)
def build_demo(given: BuildInput, ctx: Context) -> BuiltDemo:
    """A model and its dataset, built from nothing: minutes of work.

    Raises HubkitError when the materials cannot be had.
    """
    builder = find_builder(given.builder)
    built = builder.build(ctx.scratch / "built", ctx.progress)
    return BuiltDemo(
        builder=given.builder,
        model=ctx.store.adopt(built.model),
        dataset=ctx.store.adopt(built.dataset),
        model_origin=builder.model_origin,
        dataset_origin=builder.dataset_origin,
        validation_accuracy=built.validation_accuracy,
        validation_f1=built.validation_f1,
        dataset_public=builder.dataset_public,
    )
