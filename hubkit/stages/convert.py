"""The FP32 ONNX model as OpenVINO FP32."""

from __future__ import annotations

from hubkit.backends import exporter_for
from hubkit.recipe import TaskName
from hubkit.records import Record, Variant
from hubkit.stage import Context, stage
from hubkit.stages.export import weights_size


class ConvertInput(Record):
    """The variant "onnx-fp32", and its task."""

    fp32: Variant
    task: TaskName = "text-classification"


@stage(
    "convert",
    version=2,
    kind="heavy",
    takes=ConvertInput,
    gives=Variant,
    tools=("onnx", "openvino"),
)
def convert(given: ConvertInput, ctx: Context) -> Variant:
    """The variant "openvino-fp32": openvino_model.xml and .bin, config.json and the tokenizer
    files, as OVModel loads.

    Raises ModelError where OpenVINO cannot read the graph, MissingDependencyError without OpenVINO.
    """
    ctx.progress("converting to OpenVINO", 0, 1)
    output = ctx.scratch / "openvino"
    folder = ctx.store.path(given.fp32.artifact)
    model_file = exporter_for("openvino").export(folder, output, task=given.task)
    artifact = ctx.store.adopt(output)
    ctx.progress("converting to OpenVINO", 1, 1)
    return Variant(
        name="openvino-fp32",
        format="openvino",
        precision="fp32",
        artifact=artifact,
        model_file=model_file,
        size_bytes=weights_size(artifact, model_file),
    )
