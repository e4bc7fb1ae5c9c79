"""The base model as ONNX FP32, and as the FP32 baseline that PyTorch runs."""

from __future__ import annotations

from hubkit.backends import exporter_for
from hubkit.backends.node_patterns import read_graph
from hubkit.backends.projection import DENSE_WEIGHTS
from hubkit.recipe import TaskName
from hubkit.records import Artifact, BaseModelInfo, Record, Variant
from hubkit.stage import Context, stage

_WEIGHTS = "model.safetensors"


class ExportInput(Record):
    """Which model, for which task, and with which opset (None: the exporter's own)."""

    base: BaseModelInfo
    task: TaskName = "text-classification"
    opset: int | None = None


@stage(
    "export",
    version=1,
    kind="heavy",
    takes=ExportInput,
    gives=Variant,
    tools=("optimum", "optimum-onnx", "torch", "transformers", "onnx"),
)
def export(given: ExportInput, ctx: Context) -> Variant:
    """The variant "onnx-fp32", with "-opset14" after it where one is asked for: model.onnx,
    config.json and the tokenizer files, as ORTModel loads.

    Raises ModelError where weights are missing, or the architecture cannot be exported, or not with
    that opset.
    """
    ctx.progress("exporting to ONNX", 0, 1)
    output = ctx.scratch / "onnx"
    folder = ctx.store.path(given.base.artifact)
    model_file = exporter_for("onnx").export(folder, output, task=given.task, opset=given.opset)
    opset = read_graph(output / model_file).opset
    artifact = ctx.store.adopt(output)
    ctx.progress("exporting to ONNX", 1, 1)
    return Variant(
        name="onnx-fp32" if given.opset is None else f"onnx-fp32-opset{given.opset}",
        format="onnx",
        precision="fp32",
        artifact=artifact,
        model_file=model_file,
        size_bytes=weights_size(artifact, model_file),
        opset=opset,
    )


def pytorch_baseline(base: BaseModelInfo) -> Variant:
    """The variant "pytorch-fp32": the base model's own files. Nothing is computed."""
    weights = [f.path for f in base.artifact.files if f.path.endswith(".safetensors")]
    return Variant(
        name="pytorch-fp32",
        format="pytorch",
        precision="fp32",
        artifact=base.artifact,
        model_file=_WEIGHTS if _WEIGHTS in weights or not weights else f"{_WEIGHTS}.index.json",
        size_bytes=base.weights_bytes,
    )


def weights_size(artifact: Artifact, model_file: str) -> int:
    """Bytes of a model file, with those of the external data of an ONNX file above 2 GB, of the
    weights that OpenVINO keeps beside its graph, and of a projection that lies beside a PyTorch
    model."""
    beside = ir_weights(model_file) if model_file.endswith(".xml") else DENSE_WEIGHTS
    names = (model_file, beside)
    return sum(f.size_bytes for f in artifact.files if f.path.startswith(names))


def ir_weights(model_file: str) -> str:
    """The file with the weights of an .xml of OpenVINO."""
    return f"{model_file.removesuffix('.xml')}.bin"
