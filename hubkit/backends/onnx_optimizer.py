"""onnxruntime's graph optimizations, done once and written down, before quantizing.

onnxruntime optimizes whatever it loads; what is quantized is the graph in the file, and a quantized
graph is optimized in other ways. Hence the levels here. They keep to what holds on any machine.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from hubkit.backends import onnx_files
from hubkit.backends.onnx_lowering import lower
from hubkit.backends.onnx_sameness import TOLERANCE, difference
from hubkit.backends.quiet import quiet
from hubkit.errors import ModelError

if TYPE_CHECKING:
    from onnx import ModelProto
    from optimum.onnxruntime.configuration import OptimizationConfig
    from transformers import PretrainedConfig

Level = Literal[1, 2, 3, 99]
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
_REWRITTEN = "hubkit.rewritten"  # a key of the ONNX file's metadata
# What matching a pattern that looks like another ends with in onnxruntime's optimizer.
_FUSION_ERRORS = (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError)


@dataclass(frozen=True)
class _Plan:
    """What is rewritten: the boldest first, and each next one leaves out what may be wrong."""

    attention: bool = True
    first_token: bool = False


_PLANS = {
    2: (_Plan(),),
    3: (_Plan(first_token=True), _Plan(), _Plan(attention=False)),
    99: (_Plan(),),
}


def optimize(model: Path, output: Path, *, level: Level) -> str:
    """Write model.onnx, optimized, and the other files of `model` to `output`; gives "model.onnx".

    1: what onnxruntime calls basic: constants folded, needless nodes taken out. 2: and the parts of
    a Transformer fused (Attention, SkipLayerNormalization, BiasGelu). 3: these written in the
    operators that are fastest beside integers, and nothing computed for tokens that nobody reads
    (`hubkit.backends.onnx_lowering`). 99: the fused ones, and all else that is written alike on any
    machine, the embeddings too (EmbedLayerNormalization). Above 1 attention takes the mask as it
    is, so that padding may be on either side; and the graph is run beside that of level 1 on a few
    inputs. Where it answers otherwise, 3 leaves out what makes it so, and the others raise
    ModelError. 3 takes any architecture, and rewrites what it knows of it: `rewritten` tells what
    that was. Equal input gives equal bytes. Raises ModelError where the architecture is not known
    to the optimizer or nothing of it can be fused (2 and 99), or the model is above 2 GB, which 3
    leaves as it is.
    """
    output.mkdir(parents=True, exist_ok=True)
    with quiet():
        if level == 1:
            _by_session(model / MODEL_FILE, output / MODEL_FILE, level)
            _finish(_load(output / MODEL_FILE), output / MODEL_FILE)
        elif level == 3 and onnx_files.weights_beside(model / MODEL_FILE):
            _leave(model, output)
        else:
            _rewrite(model, output, level)
    for file in sorted(model.iterdir()):
        if file.is_file() and file.name != MODEL_FILE:
            shutil.copyfile(file, output / file.name)
    return MODEL_FILE


def rewritten(path: Path) -> str:
    """What was rewritten in an ONNX file that `optimize` wrote, or came of one, such as
    "Attention 6, BiasGelu 6", or "nothing: " and why; empty where nothing was to be."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    return next((one.value for one in model.metadata_props if one.key == _REWRITTEN), "")


def _leave(model: Path, output: Path) -> None:
    """Write the graph as it is; its weights are a file of their own."""
    import onnx

    graph = onnx.load(str(model / MODEL_FILE), load_external_data=False)
    onnx.helper.set_model_props(graph, {_REWRITTEN: "nothing: the model is above 2 GB"})
    onnx.save(graph, str(output / MODEL_FILE))


def _rewrite(model: Path, output: Path, level: Level) -> None:
    """Write the first of the level's graphs that answers as the model does."""
    target, failed = output / MODEL_FILE, ""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix="onnxruntime-") as scratch:
        basic = Path(scratch) / MODEL_FILE
        _by_session(model / MODEL_FILE, basic, level)
        for plan in _PLANS[level]:
            graph = _load(basic)
            try:
                graph, done = _planned(graph, model, level, plan)
            except ModelError as error:
                if level != 3:
                    raise
                failed = str(error)
                continue
            _finish(graph, target, done)
            furthest = difference(model / MODEL_FILE, target, model / "config.json")
            if furthest <= TOLERANCE:
                return
            failed = f"it would answer otherwise, by {furthest:.1g} of its largest output"
        if level != 3:
            raise ModelError(
                f"the graph of this model cannot be optimized to level {level}: {failed}",
                hint="Set framework_args.optimization_level to 0, 1 or 3.",
            )
        _finish(_load(basic), target, f"nothing: {failed}")


def _planned(graph: ModelProto, model: Path, level: Level, plan: _Plan) -> tuple[ModelProto, str]:
    """The graph as planned, and how much of it was rewritten."""
    before, config = _count_fused(graph), _config(model)
    graph = _fused(graph, config, level, plan)
    done = _count_fused(graph) - before
    if not done and level == 2:
        raise _not_fusable(config.model_type, "finds nothing to fuse in it")
    if level == 3:
        done["first token"] = lower(graph, first_token=plan.first_token)
    return graph, ", ".join(f"{what} {count}" for what, count in sorted(done.items()) if count)


def _load(path: Path) -> ModelProto:
    import onnx

    return onnx.load(str(path))


def _finish(graph: ModelProto, target: Path, done: str = "") -> None:
    import onnx

    _tidy(graph)
    if done:
        onnx.helper.set_model_props(graph, {_REWRITTEN: done})
    onnx.save(graph, str(target))


def _by_session(source: Path, target: Path, level: Level) -> None:
    import onnxruntime

    if onnx_files.weights_beside(source):
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


def _fused(graph: ModelProto, config: PretrainedConfig, level: Level, plan: _Plan) -> ModelProto:
    from onnxruntime.transformers.optimizer import optimize_by_fusion
    from optimum.onnxruntime.configuration import OptimizationConfig

    wanted = OptimizationConfig(
        optimization_level=2 if level == 3 else level,
        disable_embed_layer_norm_fusion=level != 99,
        use_raw_attention_mask=True,
    )
    name, heads, width = _architecture(config, wanted, level)
    options = wanted.create_fusion_options(name)
    options.enable_attention = plan.attention
    # It takes a minute where DeBERTa has six layers, and finds a few needless reshapes.
    options.enable_shape_inference = level != 3
    try:
        fused: ModelProto = optimize_by_fusion(graph, name, heads, width, options).model
    except _FUSION_ERRORS as error:
        raise _not_fusable(config.model_type, f"fails on it ({error})") from error
    return fused


def _architecture(
    config: PretrainedConfig, wanted: OptimizationConfig, level: Level
) -> tuple[str, int, int]:
    """What onnxruntime's optimizer calls this kind of model, its heads and its width; zeros are
    found out by the optimizer, as those of any encoder are at level 3."""
    from optimum.onnxruntime.utils import ORTConfigManager
    from optimum.utils import NormalizedConfigManager

    kind = config.model_type
    try:
        ORTConfigManager.check_optimization_supported_model(kind, wanted)
        sizes = NormalizedConfigManager.get_normalized_config_class(kind)(config)
        name = ORTConfigManager.get_model_ort_type(kind)
        return name, sizes.num_attention_heads, sizes.hidden_size
    except (KeyError, NotImplementedError, AttributeError) as error:
        if level == 3:
            return "bert", 0, 0
        raise _not_fusable(kind, "does not know this architecture") from error


def _count_fused(graph: ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in graph.graph.node if node.op_type in _FUSED)


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
