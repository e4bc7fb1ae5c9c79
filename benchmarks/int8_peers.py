"""The peers of benchmarks.int8: each makes its INT8 model by its own defaults."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.int8_rows import Maker, calibration, padded

if TYPE_CHECKING:
    import onnx


def _optimum_cli(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    command = ["-c", "import sys; from optimum.commands.optimum_cli import main; main()"]
    arguments = ["onnxruntime", "quantize", "--onnx_model", str(fp32), "--avx512_vnni"]
    subprocess.run([sys.executable, *command, *arguments, "-o", str(target)], check=True)


def _sentence_transformers(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    """What export_dynamic_quantized_onnx_model(model, "avx512_vnni", …) does."""
    from optimum.onnxruntime import ORTModelForSequenceClassification, ORTQuantizer
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    model = ORTModelForSequenceClassification.from_pretrained(fp32, file_name="model.onnx")
    quantizer = ORTQuantizer.from_pretrained(model)
    quantizer.quantize(AutoQuantizationConfig.avx512_vnni(is_static=False), target)


def _keep_files_in(folder: Path) -> None:
    """Where Neural Compressor writes: else it is nc_workspace/ in the current folder."""
    from neural_compressor.config import options

    options.workspace = str(folder / "nc_workspace")


def _neural_compressor(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    """Its tuning loop on ONNX, dynamic, by its defaults, judged on the calibration rows."""
    import numpy as np
    import onnxruntime
    from neural_compressor import PostTrainingQuantConfig
    from neural_compressor.quantization import fit

    _keep_files_in(target.parent.parent)
    held = json.loads(rows.read_text(encoding="utf-8"))["calibration"]

    def judged(model: onnx.ModelProto) -> float:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        right = []
        for start in range(0, len(held["ids"]), 32):
            found = session.run(None, dict(padded(held["ids"][start : start + 32])))[0]
            right += list(found.argmax(-1) == np.array(held["labels"][start : start + 32]))
        return float(np.mean(right))

    tuned = fit(
        str(fp32 / "model.onnx"), PostTrainingQuantConfig(approach="dynamic"), eval_func=judged
    )
    if tuned is None:
        raise SystemExit("Neural Compressor's tuning met its criterion with no model")
    tuned.save(str(target / "model.onnx"))


def _openvino(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    import openvino

    openvino.save_model(
        openvino.convert_model(fp32 / "model.onnx"),
        target / "openvino_model.xml",
        compress_to_fp16=False,
    )


def _nncf(source: Path, fp32: Path, target: Path, rows: Path) -> None:
    """nncf.quantize by its defaults for Transformers."""
    import nncf
    import openvino

    model = openvino.convert_model(fp32 / "model.onnx")
    data = nncf.Dataset(list(calibration(rows, 1)))
    done = nncf.quantize(model, data, model_type=nncf.ModelType.TRANSFORMER)
    openvino.save_model(done, target / "openvino_model.xml", compress_to_fp16=False)


def _inc(approach: str) -> Maker:
    """optimum-intel's INCQuantizer with Neural Compressor's default configuration."""

    def make(source: Path, fp32: Path, target: Path, rows: Path) -> None:
        from datasets import Dataset
        from neural_compressor.config import PostTrainingQuantConfig
        from optimum.intel.neural_compressor import INCQuantizer
        from transformers import AutoModelForSequenceClassification

        _keep_files_in(target.parent.parent)
        model = AutoModelForSequenceClassification.from_pretrained(source, local_files_only=True)
        quantizer = INCQuantizer.from_pretrained(model, task="text-classification")
        ids = json.loads(rows.read_text(encoding="utf-8"))["calibration"]["ids"]
        masks = [[1] * len(one) for one in ids]
        data = Dataset.from_dict({"input_ids": ids, "attention_mask": masks})
        quantizer.quantize(
            PostTrainingQuantConfig(approach=approach),
            save_directory=target,
            calibration_dataset=data if approach == "static" else None,
            batch_size=1,  # rows of one length only go together
        )

    return make


MAKERS: dict[str, Maker] = {
    "optimum-cli": _optimum_cli,
    "sentence-transformers": _sentence_transformers,
    "neural-compressor": _neural_compressor,
    "openvino-fp32": _openvino,
    "nncf-default": _nncf,
    "inc-pytorch-static": _inc("static"),
    "inc-pytorch-dynamic": _inc("dynamic"),
}
