"""onnxruntime's graph optimizations, done once and written down, before quantizing.

onnxruntime optimizes whatever it loads; what is quantized is the graph in the file, and a quantized
graph is optimized in other ways. Hence the levels here. They keep to what holds on any machine.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto
    from transformers import PretrainedConfig

Level = Literal[1, 2, 99]
MODEL_FILE = "model.onnx"

# Left out at every level, by onnxruntime.transformers as well: equal weights stay apart.
_LEFT_OUT = ["ConstantSharing"]
# Left out at 99: layouts of this very CPU; and what hides from the fusions after it, or from the
# quantizers, what they look for.
_LEFT_OUT_OF_ALL = [
    *_LEFT_OUT,
    *("NchwcTransformer", "NhwcTransformer"),
    *("MatMulScaleFusion", "MatMulAddFusion", "MatmulTransposeFusion"),
    *("GemmActivationFusion", "BiasSoftmaxFusion"),
]
_FUSED = {
    *("Attention", "MultiHeadAttention", "SkipLayerNormalization", "EmbedLayerNormalization"),
    *("BiasGelu", "FastGelu", "Gelu", "LayerNormalization"),
}


def optimize(model: Path, output: Path, *, level: Level) -> str:
    """Write model.onnx, optimized, and the other files of `model` to `output`; gives "model.onnx".

    1: what onnxruntime calls basic: constants folded, needless nodes taken out. 2: and the parts of
    a Transformer fused (Attention, SkipLayerNormalization, BiasGelu). 99: and all else that is
    written alike on any machine, the embeddings too (EmbedLayerNormalization). Above 1 attention
    takes the mask as it is, so that padding may be on either side. Equal input gives equal bytes.
    Raises ModelError where the architecture is not known to the optimizer, nothing of it can be
    fused, or the model is above 2 GB.
    """
    import onnx

    output.mkdir(parents=True, exist_ok=True)
    with quiet():
        target = output / MODEL_FILE
        _by_session(model / MODEL_FILE, target, level)
        graph = onnx.load(str(target))
        if level > 1:
            graph = _fused(graph, _config(model), level)
        _tidy(graph)
        onnx.save(graph, str(target))
    for file in sorted(model.iterdir()):
        if file.is_file() and file.name != MODEL_FILE:
            shutil.copyfile(file, output / file.name)
    return MODEL_FILE


def _by_session(source: Path, target: Path, level: Level) -> None:
    import onnxruntime

    if any(source.parent.glob(f"{source.name}[_.]*")):  # weights that a file of 2 GB cannot hold
        raise ModelError(
            "a model above 2 GB cannot be optimized before it is quantized",
            hint="Set framework_args.optimization_level to 0.",
        )
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = (
        levels.ORT_ENABLE_ALL if level == 99 else levels.ORT_ENABLE_BASIC
    )
    options.optimized_model_filepath = str(target)
    onnxruntime.InferenceSession(
        str(source),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=_LEFT_OUT_OF_ALL if level == 99 else _LEFT_OUT,
    )


def _config(model: Path) -> PretrainedConfig:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise _not_fusable("unknown", "finds no model_type in its config.json") from error


def _fused(graph: ModelProto, config: PretrainedConfig, level: Level) -> ModelProto:
    from onnxruntime.transformers.optimizer import optimize_by_fusion
    from optimum.onnxruntime.configuration import OptimizationConfig
    from optimum.onnxruntime.utils import ORTConfigManager
    from optimum.utils import NormalizedConfigManager

    kind = config.model_type
    wanted = OptimizationConfig(
        optimization_level=level,
        disable_embed_layer_norm_fusion=level != 99,
        use_raw_attention_mask=True,
    )
    try:
        ORTConfigManager.check_optimization_supported_model(kind, wanted)
        sizes = NormalizedConfigManager.get_normalized_config_class(kind)(config)
        name = ORTConfigManager.get_model_ort_type(kind)
        heads, width = sizes.num_attention_heads, sizes.hidden_size
    except (KeyError, NotImplementedError, AttributeError) as error:
        raise _not_fusable(kind, "does not know this architecture") from error
    before = _count_fused(graph)
    fused: ModelProto = optimize_by_fusion(
        graph, name, heads, width, wanted.create_fusion_options(name)
    ).model
    if level == 2 and _count_fused(fused) == before:
        raise _not_fusable(kind, "finds nothing to fuse in it")
    return fused


def _count_fused(graph: ModelProto) -> int:
    return sum(node.op_type in _FUSED for node in graph.graph.node)


def _not_fusable(kind: str, why: str) -> ModelError:
    return ModelError(
        f"the operators of this {kind} model cannot be fused: onnxruntime's optimizer {why}",
        hint="Set framework_args.optimization_level to 0 or 1.",
    )


def _tidy(graph: ModelProto) -> None:
    """A name of its own for every node, since exclusions go by names, and no unused opset; and the
    type of what fused nodes put out, which onnx cannot infer and the quantizers ask for."""
    from onnx import TensorProto, helper

    known = {info.name for info in (*graph.graph.value_info, *graph.graph.output)}
    seen: set[str] = set()
    for index, node in enumerate(graph.graph.node):
        node.name = node.name or node.op_type
        if node.name in seen:
            node.name = f"{node.name}_{index}"
        seen.add(node.name)
        if node.op_type in _FUSED and node.output[0] not in known:
            info = helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None)
            graph.graph.value_info.append(info)
    used = {node.domain for node in graph.graph.node} | {""}
    kept = [entry for entry in graph.opset_import if entry.domain in used]
    del graph.opset_import[:]
    graph.opset_import.extend(kept)
