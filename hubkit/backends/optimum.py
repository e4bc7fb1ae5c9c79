"""Export to ONNX by optimum."""

from __future__ import annotations

from pathlib import Path

from hubkit.backends.quiet import quiet
from hubkit.backends.torch import load_classifier
from hubkit.errors import ModelError

MODEL_FILE = "model.onnx"


class OnnxExporter:
    """Model folders of transformers to ONNX FP32."""

    def export(self, model: Path, output: Path, *, task: str) -> str:
        """Write model.onnx, config.json and the tokenizer files to `output`; gives "model.onnx".

        `task` is optimum's name of it, such as text-classification. Raises ModelError where the
        weights lack a part of the model, or optimum cannot export the architecture.
        """
        load_classifier(model)  # main_export would fill a missing head with random weights
        with quiet():
            from optimum.exporters.onnx import main_export

            try:
                main_export(
                    str(model),
                    output=output,
                    task=task,
                    framework="pt",
                    local_files_only=True,
                    trust_remote_code=False,
                )
            except (ValueError, KeyError, NotImplementedError) as error:
                raise ModelError(
                    f"optimum cannot export this model for {task}: {error}",
                    hint="Run it with HUBKIT_DEBUG=1 to see what optimum says.",
                ) from error
        return MODEL_FILE


exporter = OnnxExporter()
