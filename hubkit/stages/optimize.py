"""The FP32 ONNX model with its graph optimized, for quantization to start from."""

from __future__ import annotations

from hubkit.backends.node_patterns import read_graph
from hubkit.backends.onnx_optimizer import Level, rewritten
from hubkit.backends.onnx_optimizer import optimize as optimize_graph
from hubkit.errors import ModelError
from hubkit.records import Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.export import weights_size


class OptimizeInput(Record):
    """Which FP32 ONNX variant, and how far: `backends.onnx_optimizer.optimize` says what the levels
    are."""

    fp32: Variant
    level: Level


@stage(
    "optimize",
    version=2,
    kind="heavy",
    takes=OptimizeInput,
    gives=Variant,
    tools=("onnx", "onnxruntime", "optimum", "optimum-onnx", "transformers"),
)
def optimize(given: OptimizeInput, ctx: Context) -> Variant:
    """The variant with "-O" and the level after its name: the same numbers from fewer nodes.

    Raises ModelError where it is no FP32 ONNX model, or one that cannot be optimized so far.
    """
    fp32, level = given.fp32, given.level
    if (fp32.format, fp32.precision) != ("onnx", "fp32"):
        raise ModelError(f"only FP32 ONNX models are optimized, and {fp32.name} is none")
    ctx.progress(f"optimizing the graph, level {level}", 0, 1)
    output = ctx.scratch / "optimized"
    model_file = optimize_graph(ctx.store.path(fp32.artifact), output, level=level)
    opset = read_graph(output / model_file).opset
    done = rewritten(output / model_file)
    artifact = ctx.store.adopt(output)
    ctx.progress(f"optimizing the graph, level {level}{f' ({done})' if done else ''}", 1, 1)
    return Variant(
        name=f"{fp32.name}-O{level}",
        format="onnx",
        precision="fp32",
        artifact=artifact,
        model_file=model_file,
        size_bytes=weights_size(artifact, model_file),
        opset=opset,
    )
