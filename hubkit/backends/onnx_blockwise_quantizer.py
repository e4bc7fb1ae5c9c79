"""The kind onnx-blockwise, and the parts of a dynamic variant that are blockwise."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hubkit.backends import onnx_files
from hubkit.backends.base import Quantized
from hubkit.backends.node_patterns import Graph, match_nodes, named_nodes, read_graph
from hubkit.backends.onnx_blockwise import quantize_blockwise
from hubkit.backends.onnx_embeddings import quantize_look_ups
from hubkit.backends.onnx_plan import Plan, check_operators, count_quantized, make_plan
from hubkit.errors import RecipeError
from hubkit.recipe import OnnxBlockwise, OnnxDynamic
from hubkit.recipe_onnx import Blocks

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

MODEL_FILE = "model.onnx"
_FORMS = ("MatMul", "Gemm", "Gather")


class BlockwiseQuantizer:
    """Weights in blocks, and embedding tables with a scale for each row."""

    def quantize(
        self, model: Path, output: Path, spec: OnnxBlockwise, calibration: Sequence[Arrays] = ()
    ) -> Quantized:
        """Write a loadable folder: the FP32 model itself where the spec leaves no node to quantize.

        Raises RecipeError where an operator or a pattern means nothing in this model.
        """
        graph = read_graph(model / MODEL_FILE)
        check_operators(spec.operators_to_quantize, _FORMS, "blockwise", graph=graph)
        plan = make_plan(
            graph,
            spec.operators_to_quantize,
            spec.node_exclusion,
            forms=_FORMS,
            never=named_nodes(graph, "attention-matmul"),
            allow_none=True,
        )
        output.mkdir(parents=True, exist_ok=True)
        for file in sorted(model.iterdir()):
            if file.is_file() and file.suffix in {".json", ".txt", ".model", ".jinja"}:
                shutil.copyfile(file, output / file.name)
        written = onnx_files.copy(model / MODEL_FILE, output)
        rewrite(written, look_ups=plan.quantized, products=plan.quantized, blocks=spec)
        count = count_quantized(written, plan, allow_none=True)
        return Quantized(
            model_file=MODEL_FILE,
            nodes_quantized=count,
            nodes_excluded=plan.excluded,
            operators=spec.operators_to_quantize,
        )


def named_blockwise(graph: Graph, plan: Plan, spec: OnnxDynamic) -> frozenset[str]:
    """The products of the plan that the spec names as blockwise. Raises RecipeError where it names
    some and none of them is a product of the plan."""
    if spec.blockwise is None:
        return frozenset()
    named = {name for pattern in spec.blockwise.nodes for name in match_nodes(graph, pattern)}
    products = {node.name for node in graph.nodes if node.op in ("MatMul", "Gemm")}
    found = plan.quantized & named & products
    if not found:
        raise RecipeError(
            f"blockwise.nodes {', '.join(spec.blockwise.nodes)}: none of these nodes is a product"
            " that is quantized",
            hint="Name products of weights that operators_to_quantize has and node_exclusion not.",
        )
    return frozenset(found)


def rewrite(
    path: Path,
    *,
    look_ups: Collection[str],
    products: Collection[str],
    blocks: Blocks | None,
) -> tuple[str, ...]:
    """Turn look-ups and products of an ONNX file into what they are in 8 or 4 bits, in place; gives
    the names of the nodes that came of it, for a quantizer to let alone."""
    import onnx

    model = onnx.load(str(path))
    onnx_files.remove(path)
    onnx_files.read_weights_directly(model)
    quantize_look_ups(model, look_ups)
    if blocks is not None:
        quantize_blockwise(model, products, blocks)
    onnx_files.save(model, path)
    made = {one.name for one in model.graph.initializer if one.name.endswith("_row_scale")}
    made |= {one.name for one in model.graph.initializer if one.name.endswith("_rows_quantized")}
    return tuple(node.name for node in model.graph.node if made & set(node.input))


blockwise = BlockwiseQuantizer()
