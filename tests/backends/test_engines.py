"""Engines: every row of the report, what this machine lacks of them, and how each is loaded."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hubkit.backends import exporter_for
from hubkit.backends.engines import REFERENCE, engines_of, load_engine
from hubkit.backends.engines_missing import Here, of_cuda
from hubkit.backends.gpu import Gpu, find_gpu
from hubkit.backends.onnx_symmetric import symmetric_graph
from hubkit.backends.onnxruntime_gpu import (
    CUDA,
    TENSORRT,
    Shapes,
    cuda_options,
    load_on_gpu,
    providers_for,
    shapes_for,
    tensorrt_options,
)
from hubkit.backends.openvino import OpenVinoRuntime
from hubkit.backends.torch_engines import compiler_missing
from hubkit.errors import ModelError
from hubkit.formats_records import Engine
from hubkit.machine import Target, machine_info
from hubkit.records import Artifact, Variant
from tests.tiny import make_tiny_model

X86 = frozenset({"avx2", "fma", "avx512f", "avx512_vnni"})
GPU = Gpu("A GPU", (8, 0), 1 << 34)
INPUTS = {
    "input_ids": np.array([[2, 10, 40, 50, 3], [2, 11, 41, 51, 3]], np.int64),
    "attention_mask": np.ones((2, 5), np.int64),
}


def _variant(name: str, **fields: object) -> Variant:
    return Variant.model_validate(
        {
            "name": name,
            "format": name.partition("-")[0],
            "precision": "fp32",
            "artifact": Artifact(digest="0" * 64, files=()),
            "model_file": "model.onnx",
            "size_bytes": 1,
            **fields,
        }
    )


VARIANTS = (
    _variant("pytorch-fp32", model_file="model.safetensors"),
    _variant("onnx-fp32"),
    _variant("openvino-fp32", model_file="openvino_model.xml"),
    _variant("onnx-int8-dynamic", precision="int8", approach="dynamic"),
    _variant("onnx-int8-static", precision="int8", approach="static"),
    _variant("onnx-float16", precision="fp16"),
    _variant("pytorch-int8-static", precision="int8", approach="static"),
    _variant("openvino-int8-static", precision="int8", approach="static"),
)
ALL = [
    "onnxruntime-cpu-fp32",
    "onnxruntime-cpu-int8-dynamic",
    "onnxruntime-cpu-int8-static",
    "onnxruntime-cpu-float16",
    "torch-cpu-fp32",
    "torch-cpu-bf16",
    "torch-compile-cpu-fp32",
    "torch-cpu-int8-static",
    "openvino-cpu-fp32",
    "openvino-cpu-bf16",
    "openvino-cpu-fp16",
    "openvino-cpu-int8-static",
    "openvino-cpu-best",
    "onnxruntime-cuda-fp32",
    "onnxruntime-cuda-fp16",
    "onnxruntime-tensorrt-fp32",
    "onnxruntime-tensorrt-fp16",
    "onnxruntime-tensorrt-int8",
    "onnxruntime-tensorrt-best",
    "torch-cuda-fp32",
    "torch-cuda-fp16",
    "torch-compile-cuda-fp32",
    "torch-compile-cuda-fp16",
]


def _engines(here: Here, variants: tuple[Variant, ...] = VARIANTS) -> dict[str, Engine]:
    return {one.name: one for one in engines_of(variants, machine_info(), here)}


def test_every_engine_has_a_row_in_order_the_reference_first() -> None:
    found = _engines(Here(Target(None, X86)))
    assert list(found) == ALL
    assert ALL[0] == REFERENCE
    assert found[REFERENCE].provider == "CPUExecutionProvider"
    assert found["onnxruntime-tensorrt-int8"].variant == "onnx-int8-static"
    assert found["onnxruntime-cuda-fp16"].variant == "onnx-float16"


def test_what_has_no_variant_has_a_row_too() -> None:
    found = _engines(Here(Target(None, X86)), VARIANTS[:2])
    for name in ("onnxruntime-cpu-fp16", "onnxruntime-cpu-int8", "openvino-cpu-int8"):
        missing = found[name].missing
        assert missing is not None
        assert missing.reason
        assert missing.cure
    assert found["openvino-cpu-fp32"].variant == "onnx-fp32"  # it reads ONNX itself
    none = _engines(Here(Target(None, X86)), ())
    assert all(one.missing is not None for one in none.values())


def test_names_are_words_of_a_url_and_of_one_engine_each() -> None:
    twins = [
        *VARIANTS,
        _variant("Mine (2)", format="onnx", precision="int8"),
        _variant("mine 2", format="onnx", precision="int8"),
    ]
    names = [one.name for one in engines_of(twins, machine_info(), Here(Target(None, X86)))]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9.-]+", name) for name in names)


def test_without_a_gpu_each_engine_on_it_says_what_to_get() -> None:
    found = _engines(Here(Target(None, X86)))
    on_gpu = [one for one in found.values() if one.device == "cuda"]
    assert len(on_gpu) == 10
    for one in on_gpu:
        assert one.missing is not None
        assert "NVIDIA GPU" in one.missing.reason
        assert "pip install" in one.missing.cure
        assert ("tensorrt" in one.missing.cure) == (one.provider == TENSORRT)


def test_with_a_gpu_what_is_missing_is_a_package() -> None:
    bare = _engines(Here(Target(None, X86), GPU))
    missing = bare["torch-cuda-fp32"].missing
    assert missing is not None
    assert missing.cure.startswith("pip install --force-reinstall torch==")
    missing = bare["onnxruntime-cuda-fp32"].missing
    assert missing is not None
    assert "onnxruntime-gpu[cuda,cudnn]==" in missing.cure
    whole = _engines(Here(Target(None, X86), GPU, True, frozenset({CUDA, TENSORRT})))
    assert all(one.missing is None for one in whole.values() if one.device == "cuda")
    without = Here(Target(None, X86), GPU, True, frozenset({CUDA}))
    assert of_cuda(without, CUDA) is None
    assert of_cuda(without, TENSORRT) is not None


def test_tensorrt_11_computes_in_what_the_graph_is_in() -> None:
    def found(major: int) -> dict[str, Engine]:
        have = frozenset({CUDA, TENSORRT})
        return _engines(Here(Target(None, X86), GPU, True, have, major))

    before, since = found(10), found(11)
    assert before["onnxruntime-tensorrt-fp16"].variant == "onnx-fp32"
    assert since["onnxruntime-tensorrt-fp16"].variant == "onnx-float16"
    assert before["onnxruntime-tensorrt-best"].missing is None
    assert since["onnxruntime-tensorrt-best"].missing is not None


def test_what_would_be_slow_is_measured_but_not_served() -> None:
    plain = _engines(Here(Target(None, X86)))
    assert not plain["onnxruntime-cpu-float16"].served
    assert not plain["torch-cpu-bf16"].served
    assert not plain["openvino-cpu-bf16"].served
    assert plain["torch-cpu-bf16"].why_not_served
    able = _engines(Here(Target(None, X86 | {"avx512_bf16"})))
    assert able["torch-cpu-bf16"].served
    assert able["openvino-cpu-bf16"].served
    arm = _engines(Here(Target(None, frozenset({"asimd", "asimdhp", "asimddp"}))))
    assert arm["onnxruntime-cpu-float16"].served
    assert arm["openvino-cpu-fp16"].missing is None


def test_a_precision_that_openvino_would_swap_is_missing() -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    plain = _engines(Here(Target(None, frozenset({"avx2"}))))
    for name in ("openvino-cpu-fp16", "openvino-cpu-bf16"):
        missing = plain[name].missing
        assert missing is not None
        assert "A CPU with" in missing.cure


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Format -> a tiny classifier in it."""
    root = tmp_path_factory.mktemp("engines")
    make_tiny_model(root / "pytorch")
    task = "text-classification"
    exporter_for("onnx").export(root / "pytorch", root / "onnx", task=task)
    return {"pytorch": root / "pytorch", "onnx": root / "onnx"}


FILES = {"pytorch": "model.safetensors", "onnx": "model.onnx"}
HERE = ("onnxruntime-cpu-fp32", "torch-cpu-fp32", "torch-cpu-bf16", "openvino-cpu-fp32")


def _run(name: str, folders: dict[str, Path]) -> np.ndarray:  # type: ignore[type-arg]
    engine = next(e for e in engines_of(VARIANTS[:2], machine_info()) if e.name == name)
    if engine.missing is not None:
        pytest.skip(engine.missing.reason)
    assert engine.format is not None
    session = load_engine(engine, folders[engine.format], FILES[engine.format], threads=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(session.run, [INPUTS] * 8))
    session.close()
    with pytest.raises(ModelError):
        session.run(INPUTS)
    assert all(np.array_equal(one["logits"], found[0]["logits"]) for one in found)
    logits: np.ndarray = found[0]["logits"]  # type: ignore[type-arg]
    return logits


@pytest.mark.parametrize("name", HERE)
def test_engines_agree_from_any_thread(name: str, folders: dict[str, Path]) -> None:
    reference, ours = _run(REFERENCE, folders), _run(name, folders)
    assert ours.dtype == np.float32
    difference = np.abs(ours - reference).max()
    assert difference < (0.2 if "bf16" in name else 1e-4)
    assert ("bf16" in name) == (difference > 1e-4)  # it does compute in what it says


@pytest.mark.conformance
def test_a_compiled_model_answers_as_the_eager_one(folders: dict[str, Path]) -> None:
    difference = np.abs(_run("torch-compile-cpu-fp32", folders) - _run(REFERENCE, folders))
    assert difference.max() < 1e-4


def test_what_is_missing_is_not_loaded(folders: dict[str, Path]) -> None:
    engine = _engines(Here(Target(None, X86)))["torch-cuda-fp16"]
    with pytest.raises(ModelError) as refused:
        load_engine(engine, folders["pytorch"], FILES["pytorch"], threads=1)
    assert engine.missing is not None
    assert refused.value.hint == engine.missing.cure


def test_openvino_does_not_swap_the_precision_unseen(folders: dict[str, Path]) -> None:
    pytest.importorskip("openvino", reason="needs the openvino extra")
    if {"avx512_fp16", "amx_fp16", "asimdhp"} & set(machine_info().flags):
        pytest.skip("this CPU has float16")
    with pytest.raises(ModelError, match="and not in f16"):
        OpenVinoRuntime("f16").load(folders["onnx"], "model.onnx", threads=1)


def test_a_provider_that_does_not_come_up_is_an_error(folders: dict[str, Path]) -> None:
    import onnxruntime

    if CUDA in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    with pytest.warns(UserWarning, match=CUDA), pytest.raises(ModelError, match="goes on without"):
        load_on_gpu(folders["onnx"], "model.onnx", CUDA, "fp32", threads=1)


def test_tensorrt_builds_one_engine_for_all_shapes(folders: dict[str, Path]) -> None:
    shapes = shapes_for(folders["onnx"])
    assert shapes.length == (1, 64, 64)  # the positions of the tiny model
    names = ("input_ids", "attention_mask")
    options = tensorrt_options("fp16", names, shapes, Path("kept"))
    assert options["trt_profile_min_shapes"] == "input_ids:1x1,attention_mask:1x1"
    assert options["trt_profile_opt_shapes"] == "input_ids:8x64,attention_mask:8x64"
    assert options["trt_profile_max_shapes"] == "input_ids:64x64,attention_mask:64x64"
    assert options["trt_engine_cache_path"] == options["trt_timing_cache_path"] == "kept"
    assert "trt_engine_cache_enable" not in tensorrt_options("fp16", names, shapes, None)
    assert shapes_for(folders["onnx"] / "nowhere") == Shapes()


@pytest.mark.parametrize(
    ("precision", "on"),
    [
        ("fp32", set()),
        ("fp16", {"trt_fp16_enable"}),
        ("int8", {"trt_int8_enable"}),
        ("best", {"trt_fp16_enable", "trt_bf16_enable"}),
    ],
)
def test_tensorrt_may_compute_in_what_is_asked_for(precision: str, on: set[str]) -> None:
    options = tensorrt_options(precision, ("input_ids",), Shapes(), None)  # type: ignore[arg-type]
    switches = {"trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable"}
    assert {name for name in switches if options[name] == "1"} == on


def _quantized(path: Path, kind: type[np.generic], scale: float, zero: int) -> Path:
    from onnx import TensorProto, helper, numpy_helper, save

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    graph = helper.make_graph(
        [
            helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        "quantized",
        ends[:1],
        ends[1:],
        [
            numpy_helper.from_array(np.array(scale, np.float32), "scale"),
            numpy_helper.from_array(np.array(zero, kind), "zero"),
        ],
    )
    opset = helper.make_opsetid("", 17)
    save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "zero", "far"), [(np.uint8, 55, 2.0), (np.int8, -73, 2.0), (np.int8, 0, 1.28)]
)
def test_tensorrt_gets_ranges_about_zero(
    tmp_path: Path, kind: type[np.generic], zero: int, far: float
) -> None:
    import onnx
    import onnxruntime

    made = symmetric_graph(_quantized(tmp_path / "one.onnx", kind, 0.01, zero))
    scale, point = (onnx.numpy_helper.to_array(one) for one in made.graph.initializer[-2:])
    assert point.dtype == np.int8
    assert point == 0
    assert scale * 127 == pytest.approx(far)  # what it reached on its farther side
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    x = np.array([far, -far / 2, 0], np.float32)
    (y,) = session.run(None, {"x": x})
    assert y == pytest.approx(x, abs=float(scale))


def test_what_is_not_quantized_statically_is_no_int8_of_tensorrt(folders: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="no QuantizeLinear"):
        symmetric_graph(folders["onnx"] / "model.onnx")


def test_fp32_is_not_tf32() -> None:
    assert cuda_options("fp32")["use_tf32"] == "0"
    first = providers_for(TENSORRT, "fp16", ("input_ids",), Shapes(), None)
    assert [name for name, _ in first] == [TENSORRT, CUDA, "CPUExecutionProvider"]


def test_a_compiler_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    assert "no-such-compiler" in (compiler_missing() or "")
    if sys.platform != "win32":
        monkeypatch.delenv("CXX")
        monkeypatch.setenv("PATH", "")
        assert compiler_missing() == "there is no C++ compiler"


def test_a_machine_without_a_driver_has_no_gpu() -> None:
    gpu = find_gpu()
    if gpu is not None:
        assert gpu.name
        assert gpu.memory_bytes > 1 << 30
    elif Path("/dev/nvidia0").exists():
        pytest.fail("there is a device, and no GPU was found")
