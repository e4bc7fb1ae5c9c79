"""Export to ONNX by optimum."""

from __future__ import annotations

from pathlib import Path

from hubkit.backends.onnx_head import add_head
from hubkit.backends.projection import projection_of
from hubkit.backends.quiet import quiet
from hubkit.backends.torch import head_of, load_model
from hubkit.errors import ModelError

MODEL_FILE = "model.onnx"
LOWEST_OPSET = 11  # of ONNX Runtime's quantizers too
_SDPA_OPSET = 14  # the first in which torch can write scaled_dot_product_attention


class OnnxExporter:
    """Model folders of transformers to ONNX FP32."""

    def export(self, model: Path, output: Path, *, task: str, opset: int | None = None) -> str:
        """Write model.onnx, config.json and the tokenizer files to `output`; gives "model.onnx".

        `task` is optimum's name of it, such as text-classification; `opset` optimum's own for the
        architecture where None. Below opset 14 the attention is written as plain products and a
        softmax ("eager"), which computes the same. Where the folder has a projection the graph has
        it too (`hubkit.backends.onnx_head`). Raises ModelError where the weights lack a part of the
        model or are another task's, optimum cannot export the architecture, or the opset cannot be
        written.
        """
        if opset is not None:
            _check_opset(opset)
        head = head_of(model)
        if head.task != task:
            raise ModelError(
                f"{model.name} is a {head.words}, which cannot be exported for {task}",
                hint=f"Set the recipe's task to {head.task}, or name another base model.",
            )
        with quiet():
            try:
                _write(model, output, task, opset)
                _project(model, output)
            except _failures() as error:
                raise ModelError(
                    f"optimum cannot export this model for {task}"
                    + (f" with opset {opset}" if opset else "")
                    + f": {error}",
                    hint="Run it with HUBKIT_DEBUG=1 to see what optimum says.",
                ) from error
        return MODEL_FILE


def opset_range() -> tuple[int, int]:
    """The lowest and the highest opset that can be written with what is installed."""
    import onnx
    from torch.onnx import _constants

    # torch writes no newer one, and onnx must know what it reads.
    highest = getattr(_constants, "ONNX_MAX_OPSET", onnx.defs.onnx_opset_version())
    return LOWEST_OPSET, min(highest, onnx.defs.onnx_opset_version())


def _check_opset(opset: int) -> None:
    lowest, highest = opset_range()
    if not lowest <= opset <= highest:
        raise ModelError(
            f"opset {opset} cannot be written by the torch and onnx that are installed",
            hint=f"Use an opset of {lowest} to {highest}, or none for the exporter's own.",
        )


def _write(model: Path, output: Path, task: str, opset: int | None) -> None:
    from optimum.exporters.onnx import main_export, onnx_export_from_model

    if opset is not None and opset < _SDPA_OPSET:
        eager = load_model(model, attention="eager")
        onnx_export_from_model(eager, output, opset=opset, task=task)
        return
    load_model(model)  # main_export would fill a missing head with random weights
    main_export(
        str(model),
        output=output,
        task=task,
        opset=opset,
        framework="pt",
        local_files_only=True,
        trust_remote_code=False,
        # It would take a folder with a projection for one of sentence-transformers.
        library_name="transformers",
    )


def _project(model: Path, output: Path) -> None:
    projection = projection_of(model)
    if projection is not None:
        add_head(output / MODEL_FILE, projection)


def _failures() -> tuple[type[Exception], ...]:
    from torch.onnx import OnnxExporterError

    return (ValueError, KeyError, NotImplementedError, OnnxExporterError)


exporter = OnnxExporter()
