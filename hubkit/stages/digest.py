"""What an ONNX variant computes, as one digest: equal variants need be measured only once."""

from __future__ import annotations

from hubkit.backends.graph_digest import graph_digest
from hubkit.backends.node_patterns import read_graph
from hubkit.errors import ModelError
from hubkit.records import Record, Sha, Variant
from hubkit.stage import Context, stage


class DigestInput(Record):
    """Which ONNX variant."""

    variant: Variant


class Digest(Record):
    """`digest`: `backends.graph_digest.graph_digest` of the model; `nodes`: how many it has that
    compute, constants aside."""

    digest: Sha
    nodes: int


@stage("digest", version=1, kind="heavy", takes=DigestInput, gives=Digest, tools=("onnx",))
def digest(given: DigestInput, ctx: Context) -> Digest:
    """The digest of the variant's computation.

    Raises ModelError where it is no ONNX variant.
    """
    variant = given.variant
    if variant.format != "onnx":
        raise ModelError(
            f"{variant.name} is a {variant.format} model, and only the graphs of ONNX are compared"
        )
    path = ctx.store.path(variant.artifact) / variant.model_file
    nodes = sum(node.op != "Constant" for node in read_graph(path).nodes)
    return Digest(digest=graph_digest(path), nodes=nodes)
