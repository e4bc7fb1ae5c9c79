"""The quantize stage: from records to a variant's record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hubkit.backends import runtime_for
from hubkit.errors import DataError
from hubkit.recipe import (
    Calibration,
    IncDynamic,
    IncStatic,
    OnnxDynamic,
    OnnxStatic,
    VariantSpec,
)
from hubkit.records import BaseModelInfo, CalibrationInfo, Encoded, Variant
from hubkit.stage import Context, find_stage
from hubkit.stages.calibrate import ActivationStatistics, CalibrateInput, calibrate
from hubkit.stages.export import ExportInput, export, pytorch_baseline
from hubkit.stages.quantize import QuantizeInput, quantize
from hubkit.store import Store
from tests.stages.test_export import base_of
from tests.tiny import SENTENCES, make_tiny_model

SAMPLES = Calibration(num_samples=7, batch_size=3)


class World:
    """A store with a base model, both FP32 variants, and encoded calibration rows."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "store")
        folder = make_tiny_model(root / "base")
        self.encoded = self._encode(root / "encoded", folder)
        self.base: BaseModelInfo = base_of(self.store, folder)
        self.torch = pytorch_baseline(self.base)
        with self.store.scratch() as scratch:
            self.onnx: Variant = export(ExportInput(base=self.base), Context(self.store, scratch))

    def _encode(self, output: Path, model: Path) -> Encoded:
        from transformers import AutoTokenizer

        rows = AutoTokenizer.from_pretrained(model)(list(SENTENCES))["input_ids"]
        output.mkdir()
        np.savez(
            output / "encoded.npz",
            offsets=np.cumsum([0, *map(len, rows)]).astype(np.int64),
            input_ids=np.concatenate(rows).astype(np.int32),
            labels=np.zeros(len(rows), dtype=np.int64),
        )
        return Encoded(
            artifact=self.store.adopt(output),
            rows=len(rows),
            truncated=0,
            max_length=64,
            mean_tokens=8.0,
            input_names=("input_ids", "attention_mask"),
        )

    def calibrate(self, spec: OnnxStatic, *more: str) -> ActivationStatistics:
        """For the operators of the spec, and those of other variants."""
        given = CalibrateInput(
            fp32=self.onnx,
            encoded=self.encoded,
            num_samples=spec.calibration.num_samples,
            batch_size=spec.calibration.batch_size,
            operators=(*spec.operators_to_quantize, *more),
            split="train",
        )
        with self.store.scratch() as scratch:
            return calibrate(given, Context(self.store, scratch))

    def quantize(
        self,
        spec: VariantSpec,
        *,
        calibrated: bool = True,
        statistics: ActivationStatistics | None = None,
    ) -> Variant:
        if calibrated and isinstance(spec, OnnxStatic):
            statistics = statistics or self.calibrate(spec)
        given = QuantizeInput(
            base=self.base,
            fp32=self.onnx if spec.kind.startswith("onnx") else self.torch,
            spec=spec,
            statistics=statistics,
            calibration=self.encoded if calibrated and isinstance(spec, IncStatic) else None,
            split="train",
        )
        with self.store.scratch() as scratch:
            return quantize(given, Context(self.store, scratch))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_onnx_dynamic(world: World) -> None:
    spec = OnnxDynamic(kind="onnx-dynamic", node_exclusion=("gather",))
    made = world.quantize(spec, calibrated=False)
    assert (made.name, made.format, made.precision) == ("onnx-int8-dynamic", "onnx", "int8")
    assert made.approach == "dynamic"
    assert made.calibration is None
    assert made.opset == world.onnx.opset
    assert made.per_channel is True
    assert made.reduce_range is not None
    assert made.operators_to_quantize == ("MatMul", "Gemm", "Gather")
    assert made.nodes_quantized == 14
    assert made.nodes_excluded == {"gather": 2}
    assert made.size_bytes < world.onnx.size_bytes
    runtime_for(made).load(world.store.path(made.artifact), made.model_file, threads=1).close()


def test_onnx_static_counts_the_rows_that_were_fed(world: World) -> None:
    made = world.quantize(OnnxStatic(kind="onnx-static", calibration=SAMPLES))
    assert made.approach == "static"
    assert made.calibration == CalibrationInfo(
        method="minmax", asked_samples=7, real_samples=7, batch_size=3, split="train"
    )
    assert made.nodes_quantized == 14
    assert made.nodes_excluded == {"attention-matmul": 4}


def test_more_samples_than_rows_are_all_rows(world: World) -> None:
    made = world.quantize(OnnxStatic(kind="onnx-static"))
    assert made.calibration is not None
    assert (made.calibration.asked_samples, made.calibration.real_samples) == (100, 10)


def test_calibration_rows_decide_the_ranges(world: World) -> None:
    few = world.quantize(OnnxStatic(kind="onnx-static", calibration=Calibration(num_samples=1)))
    all_rows = world.quantize(OnnxStatic(kind="onnx-static"))
    assert few.artifact != all_rows.artifact


def test_one_calibration_serves_every_method_and_choice_of_operators(world: World) -> None:
    """And a variant is what it would be with a calibration of its own."""
    specs = [
        OnnxStatic(kind="onnx-static", calibration=Calibration(method="minmax")),
        OnnxStatic(kind="onnx-static", calibration=Calibration(method="percentile", percentile=99)),
        OnnxStatic(
            kind="onnx-static", operators_to_quantize=("Add",), node_exclusion=(), guards=False
        ),
    ]
    shared = world.calibrate(specs[0], "Add", "Softmax")
    made = [world.quantize(spec, statistics=shared) for spec in specs]
    assert len({one.artifact.digest for one in made}) == len(specs)
    assert [one.artifact for one in made] == [world.quantize(spec).artifact for spec in specs]


def test_statistics_of_other_operators_are_an_error(world: World) -> None:
    statistics = world.calibrate(OnnxStatic(kind="onnx-static"))
    spec = OnnxStatic(kind="onnx-static", operators_to_quantize=("Add",))
    with pytest.raises(DataError, match="Add, whose tensors were not watched"):
        world.quantize(spec, statistics=statistics)


def test_nothing_to_quantize_is_the_fp32_model(world: World) -> None:
    made = world.quantize(OnnxDynamic(kind="onnx-dynamic", operators_to_quantize=("Add",)))
    assert made.nodes_quantized == 0
    assert made.artifact == world.onnx.artifact


def test_neural_compressor_static(world: World) -> None:
    pytest.importorskip("neural_compressor", reason="needs the inc extra")
    made = world.quantize(IncStatic(kind="inc-static", calibration=SAMPLES))
    assert (made.format, made.precision, made.approach) == ("pytorch", "int8", "static")
    assert made.model_file == "pytorch_model.bin"
    assert made.calibration is not None
    assert made.calibration.real_samples == 7
    assert made.operators_to_quantize == ("Embedding", "Linear")
    assert made.per_channel is True
    assert made.opset is None
    assert "model.safetensors" not in {file.path for file in made.artifact.files}
    assert made == world.quantize(IncStatic(kind="inc-static", calibration=SAMPLES))
    runtime_for(made).load(world.store.path(made.artifact), made.model_file, threads=1).close()


def test_neural_compressor_dynamic(world: World) -> None:
    pytest.importorskip("neural_compressor", reason="needs the inc extra")
    made = world.quantize(IncDynamic(kind="inc-dynamic"), calibrated=False)
    assert (made.format, made.approach, made.calibration) == ("pytorch", "dynamic", None)
    assert made.nodes_quantized == 16


@pytest.mark.parametrize("spec", [OnnxStatic(kind="onnx-static"), IncStatic(kind="inc-static")])
def test_a_static_variant_without_rows_is_an_error(world: World, spec: VariantSpec) -> None:
    with pytest.raises(DataError, match=spec.name) as caught:
        world.quantize(spec, calibrated=False)
    assert "calibration_split" in caught.value.hint


def test_the_stage_is_found_by_its_name() -> None:
    assert find_stage("quantize") is quantize
