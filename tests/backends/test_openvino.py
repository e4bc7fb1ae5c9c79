"""OpenVINO: its FP32 is FP32, its INT8 is INT8, and what it is asked for is what it does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("nncf", reason="needs the openvino extra")

from hubkit.backends import onnxruntime as onnx
from hubkit.backends import openvino as backend
from hubkit.backends import openvino_quantizer
from hubkit.backends.openvino_agreement import agreement
from hubkit.errors import ModelError, RecipeError
from hubkit.machine import default_threads
from hubkit.recipe import Calibration, OpenVinoStatic
from tests.backends.conftest import Converted, Make

if TYPE_CHECKING:
    from hubkit.backends.base import Arrays

SPEC = OpenVinoStatic(kind="openvino-static")
XML, BIN = "openvino_model.xml", "openvino_model.bin"


def test_fp32_computes_what_onnx_does_in_any_thread(
    exports: dict[str, Path], converted: Converted, batches: dict[str, list[Arrays]]
) -> None:
    folder = converted("bert")
    assert {path.name for path in exports["bert"].iterdir()} - {"model.onnx"} == {
        path.name for path in folder.iterdir()
    } - {XML, BIN}
    assert json.loads((folder / "config.json").read_text())["architectures"]
    theirs = onnx.runtime.load(exports["bert"], "model.onnx", threads=1)
    ours = backend.fp32.load(folder, XML, threads=1)
    assert ours.input_names == ("input_ids", "attention_mask", "token_type_ids")
    expected = [theirs.run(batch)["logits"] for batch in batches["bert"]]
    with ThreadPoolExecutor(4) as pool:
        calls = batches["bert"] * 8
        found = list(pool.map(lambda batch: ours.run(batch)["logits"], calls))
    for one, other in zip(found, expected * 8, strict=True):
        assert one.dtype == np.float32
        assert np.abs(one - other).max() < 1e-5


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_a_classifier_computes_its_last_layer_for_the_token_that_it_reads(
    kind: str, converted: Converted, exports: dict[str, Path], batches: dict[str, list[Arrays]]
) -> None:
    folder = converted(kind)
    assert "first_token" in (folder / XML).read_text(encoding="utf-8")
    theirs = onnx.runtime.load(exports[kind], "model.onnx", threads=1)
    ours = backend.fp32.load(folder, XML, threads=1)
    for batch in batches[kind]:
        gap = np.abs(ours.run(batch)["logits"] - theirs.run(batch)["logits"]).max()
        assert gap < 1e-5


def test_a_session_misses_what_is_not_there_and_can_be_closed(
    converted: Converted, batches: dict[str, list[Arrays]]
) -> None:
    session = backend.int8.load(converted("distilbert"), XML, threads=1)
    plain = batches["distilbert"][0]
    more = {**plain, "token_type_ids": np.zeros_like(plain["input_ids"])}
    assert np.array_equal(session.run(more)["logits"], session.run(plain)["logits"])
    with pytest.raises(ModelError, match="attention_mask"):
        session.run({"input_ids": plain["input_ids"]})
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(plain)


@pytest.mark.parametrize("threads", sorted({1, default_threads()}))
def test_a_call_takes_as_many_threads_as_it_is_given(threads: int, converted: Converted) -> None:
    session = backend.fp32.load(converted("bert"), XML, threads=threads)
    compiled = session._compiled
    assert compiled is not None
    streams = compiled.get_property("NUM_STREAMS")
    assert streams == max(1, default_threads() // threads)  # so many calls at once
    assert compiled.get_property("INFERENCE_NUM_THREADS") == streams * threads
    assert compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert str(compiled.get_property("PERFORMANCE_HINT")).endswith("LATENCY")


def test_int8_is_near_fp32_and_says_what_was_done(
    quantized: Make, converted: Converted, batches: dict[str, list[Arrays]]
) -> None:
    folder, done = quantized("openvino-static", "bert")
    assert (done.model_file, done.real_samples, done.per_channel) == (XML, 10, True)
    assert done.smoothing == 0.95
    assert done.nodes_quantized
    assert done.nodes_quantized >= 12  # two layers of six products
    assert backend.count_quantized(backend.read_model(converted("bert") / XML)) == 0
    assert (folder / BIN).stat().st_size < (converted("bert") / BIN).stat().st_size / 2
    exact = backend.fp32.load(converted("bert"), XML, threads=1)
    rounded = backend.int8.load(folder, XML, threads=1)
    for batch in batches["bert"]:
        one, other = rounded.run(batch)["logits"], exact.run(batch)["logits"]
        assert 1e-4 < np.abs(one - other).max() < 0.5 * np.ptp(other)


def test_a_damaged_or_missing_file_is_told(converted: Converted, tmp_path: Path) -> None:
    shutil.copytree(converted("bert"), tmp_path / "model")
    with pytest.raises(ModelError, match=r"there is no other\.xml"):
        backend.fp32.load(tmp_path / "model", "other.xml", threads=1)
    (tmp_path / "model" / XML).write_text("<net>")
    with pytest.raises(ModelError, match="cannot be read by OpenVINO"):
        backend.fp32.load(tmp_path / "model", XML, threads=1)


def test_a_method_that_nncf_has_not_is_refused(
    converted: Converted, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    spec = SPEC.model_copy(update={"calibration": Calibration(method="entropy")})
    with pytest.raises(RecipeError, match="NNCF has none such"):
        openvino_quantizer.static.quantize(
            converted("bert"), tmp_path / "out", spec, batches["bert"]
        )


@pytest.mark.conformance
def test_an_excluded_product_stays_float(
    quantized: Make, converted: Converted, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    _, plain = quantized("openvino-static", "bert")
    assert plain.nodes_quantized
    spec = SPEC.model_copy(update={"node_exclusion": (".*/intermediate/dense/MatMul",)})
    done = openvino_quantizer.static.quantize(
        converted("bert"), tmp_path / "out", spec, batches["bert"]
    )
    assert done.nodes_excluded == {".*/intermediate/dense/MatMul": 2}
    assert done.nodes_quantized == plain.nodes_quantized - 2


@pytest.mark.conformance
@pytest.mark.parametrize(
    "change",
    [
        {"smooth_quant_alpha": None},
        {"preset": "performance"},
        {"reduce_range": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_each_setting_makes_another_model(
    change: dict[str, object],
    quantized: Make,
    converted: Converted,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    plain, _ = quantized("openvino-static", "bert")
    spec = SPEC.model_copy(update=change)
    openvino_quantizer.static.quantize(converted("bert"), tmp_path / "out", spec, batches["bert"])
    assert (tmp_path / "out" / BIN).read_bytes() != (plain / BIN).read_bytes()


@pytest.mark.conformance
def test_accuracy_control_gives_layers_back_until_the_answers_agree(
    quantized: Make, converted: Converted, batches: dict[str, list[Arrays]], tmp_path: Path
) -> None:
    """Of this random model no INT8 one answers all rows alike."""
    folder = converted("bert")
    exact = backend.fp32.load(folder, XML, threads=1)
    rng = np.random.default_rng(5)
    rows = [_random(rng, 12) for _ in range(40)]
    spec = SPEC.model_copy(update={"max_drop": 0.0, "preset": "performance"})
    done = openvino_quantizer.static.quantize(folder, tmp_path / "out", spec, rows)
    session = backend.fp32.load(tmp_path / "out", XML, threads=1)  # no bfloat16, as NNCF judges
    shares = [agreement(row, session.run(row), exact.run(row)) for row in rows]
    assert np.mean(shares) == 1
    _, plain = quantized("openvino-static", "bert")
    assert done.nodes_quantized
    assert plain.nodes_quantized
    assert 0 < done.nodes_quantized < plain.nodes_quantized
    assert done.smoothing is None  # it is not in what layers are given back of


def _random(rng: np.random.Generator, length: int) -> Arrays:
    ids = rng.integers(5, 100, (1, length))
    return {
        "input_ids": ids,
        "attention_mask": np.ones_like(ids),
        "token_type_ids": np.zeros_like(ids),
    }


def test_agreement_is_of_the_answers_of_each_task() -> None:
    mask = {"attention_mask": np.array([[1, 1, 0], [1, 1, 1]])}
    one = np.array([[[1.0, 0], [0, 1], [9, 0]], [[1, 0], [1, 0], [1, 0]]], np.float32)
    other = one.copy()
    other[0, 2] = [0, 9]  # padding
    assert agreement(mask, {"logits": one}, {"logits": other}) == 1
    other[1, 0] = [0, 1]
    assert agreement(mask, {"logits": one}, {"logits": other}) == pytest.approx((1 + 2 / 3) / 2)
    labels = {"logits": np.array([[0.0, 1], [1, 0]], np.float32)}
    assert agreement(mask, labels, {"logits": labels["logits"][::-1]}) == 0
    start, end = one[..., 0], one[..., 1]
    answer = {"start_logits": start, "end_logits": end}
    moved = {"start_logits": start, "end_logits": end + np.array([0, 0, 5], np.float32)}
    assert agreement(mask, answer, moved) == pytest.approx(0.5)  # of padding nothing is answered
    states = {"last_hidden_state": one}
    assert agreement(mask, states, {"last_hidden_state": 3 * one}) == pytest.approx(1)


def test_importing_the_backend_imports_neither_openvino_nor_nncf() -> None:
    code = (
        "import sys, hubkit.backends.openvino_quantizer\n"
        "assert not {'openvino', 'nncf', 'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra_the_error_says_what_to_install(
    converted: Converted, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubkit.errors import MissingDependencyError

    folder = converted("bert")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingDependencyError) as caught:
        backend.fp32.load(folder, XML, threads=1)
    assert caught.value.hint == 'pip install "hubkit[openvino]"'
