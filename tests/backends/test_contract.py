"""What holds for every backend: one suite over all of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from hubkit.backends import RUNTIMES, quantizer_for, runtime_for
from hubkit.backends.base import Runtime, Session
from hubkit.errors import DataError, ModelError, RecipeError
from hubkit.keys import files_of
from hubkit.recipe import Part
from hubkit.records import Artifact, Variant
from tests.backends.conftest import (
    ARCHITECTURES,
    NEEDS,
    SPECS,
    Make,
    SourceOf,
    skip_without,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from hubkit.backends.base import Arrays

    Logits = NDArray[np.float32]

# NNCF takes seconds: tests/backends/test_openvino.py has what is looked at in each run.
_LONG = {"openvino-static": pytest.mark.conformance}
_KINDS = [pytest.param(kind, marks=_LONG.get(kind, ())) for kind in SPECS]
each_kind = pytest.mark.parametrize("kind", _KINDS)
each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
STATIC = pytest.mark.parametrize("kind", [kind for kind in SPECS if "static" in kind])
QUICK = [kind for kind in SPECS if kind not in _LONG]
Folders = dict[str, Path]
ROOT = Path(__file__).resolve().parents[2]


def _runtime(kind: str) -> Runtime:
    name = {
        "onnx": "onnx",
        "inc": "pytorch-int8",
        "torch": "pytorch-fp32",
        "openvino": "openvino-int8",
    }[kind.split("-")[0]]
    found = RUNTIMES.get(name)
    assert hasattr(found, "load")
    return found


def _logits(session: Session, batches: list[Arrays]) -> Logits:
    return np.concatenate([session.run(batch)["logits"] for batch in batches])


def _reference(architecture: str, models: Folders, batches: dict[str, list[Arrays]]) -> Logits:
    session = _runtime("torch").load(models[architecture], "model.safetensors", threads=1)
    return _logits(session, batches[architecture])


@each_architecture
def test_the_fp32_runtimes_agree(
    architecture: str, models: Folders, exports: Folders, batches: dict[str, list[Arrays]]
) -> None:
    reference = _reference(architecture, models, batches)
    labels = len(json.loads((models[architecture] / "config.json").read_text())["id2label"])
    assert reference.shape == (10, labels)
    assert reference.dtype == np.float32
    assert np.ptp(reference, axis=0).min() > 0.5, "the model says the same of every sentence"
    session = _runtime("onnx").load(exports[architecture], "model.onnx", threads=1)
    assert np.abs(_logits(session, batches[architecture]) - reference).max() < 1e-4


@each_architecture
@each_kind
def test_int8_is_near_fp32_and_reloads_equal(
    kind: str,
    architecture: str,
    quantized: Make,
    models: Folders,
    batches: dict[str, list[Arrays]],
) -> None:
    folder, done = quantized(kind, architecture)
    first = _logits(_runtime(kind).load(folder, done.model_file, threads=1), batches[architecture])
    again = _logits(_runtime(kind).load(folder, done.model_file, threads=2), batches[architecture])
    reference = _reference(architecture, models, batches)
    assert first.shape == reference.shape
    assert first.dtype == np.float32
    difference = np.abs(first - reference)
    assert difference.max() > 1e-4, "not quantized at all"
    assert difference.mean() < 0.15 * np.ptp(reference)
    assert np.array_equal(first, again)


@each_architecture
@each_kind
def test_the_folder_is_whole_and_its_labels_are_those_of_the_input(
    kind: str, architecture: str, quantized: Make, models: Folders
) -> None:
    folder, done = quantized(kind, architecture)
    given, made = (
        json.loads((p / "config.json").read_text()) for p in (models[architecture], folder)
    )
    assert made["id2label"] == given["id2label"]
    assert made["label2id"] == given["label2id"]
    assert made["architectures"] == given["architectures"]
    names = {file.name for file in folder.iterdir()}
    assert {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
    } <= names
    assert done.model_file in names
    assert "model.safetensors" not in names


@each_architecture
@each_kind
def test_what_the_quantizer_says_of_itself(kind: str, architecture: str, quantized: Make) -> None:
    _, done = quantized(kind, architecture)
    assert done.nodes_quantized
    assert done.nodes_quantized >= 12  # two layers of six products
    assert done.reduce_range is not None
    assert done.real_samples == (10 if "static" in kind else 0)


@each_kind
def test_twice_the_same_bytes_and_the_input_untouched(
    kind: str,
    quantized: Make,
    source_of: SourceOf,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    first, _ = quantized(kind, "distilbert")
    source = source_of(kind, "distilbert")
    before = files_of(source)
    calibration = batches["distilbert"] if "static" in kind else []
    quantizer_for(SPECS[kind]).quantize(source, tmp_path / "other name", SPECS[kind], calibration)
    assert files_of(tmp_path / "other name") == files_of(first)
    assert files_of(source) == before
    assert [path.name for path in tmp_path.iterdir()] == ["other name"], "left something behind"


_IN_A_PROCESS = """
import json, sys
from pathlib import Path
import numpy as np
from pydantic import TypeAdapter
from hubkit.backends import quantizer_for
from hubkit.recipe import VariantSpec
for source, output, spec, ids in json.load(sys.stdin):
    spec = TypeAdapter(VariantSpec).validate_python(spec)
    batches = [{k: np.array(v, dtype=np.int64) for k, v in b.items()} for b in ids]
    quantizer_for(spec).quantize(Path(source), Path(output), spec, batches)
"""


@pytest.mark.parametrize(
    "kinds",
    [QUICK, pytest.param(list(_LONG), marks=pytest.mark.conformance)],
    ids=["quick", "long"],
)
def test_another_process_in_another_folder_makes_the_same_bytes_and_says_nothing(
    kinds: list[str],
    quantized: Make,
    source_of: SourceOf,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    working = tmp_path / "cwd"
    working.mkdir()
    kinds = [k for k in kinds if find_spec(NEEDS.get(k.partition("-")[0], "hubkit"))]
    calls = []
    for kind in kinds:
        calibration = batches["distilbert"] if "static" in kind else []
        calls.append(
            (
                str(source_of(kind, "distilbert")),
                str(tmp_path / kind),
                SPECS[kind].model_dump(mode="json"),
                [{name: array.tolist() for name, array in batch.items()} for batch in calibration],
            )
        )
    ran = subprocess.run(
        [sys.executable, "-c", _IN_A_PROCESS],
        input=json.dumps(calls),
        cwd=working,
        env={**os.environ, "PYTHONPATH": str(ROOT), "HUBKIT_DEBUG": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
    assert ran.stderr == ""
    assert list(working.iterdir()) == [], "wrote into the current folder"
    for kind in kinds:
        assert files_of(tmp_path / kind) == files_of(quantized(kind, "distilbert")[0]), kind


@STATIC
def test_static_quantization_needs_rows(kind: str, source_of: SourceOf, tmp_path: Path) -> None:
    source = source_of(kind, "distilbert")
    with pytest.raises(DataError, match="given none") as caught:
        quantizer_for(SPECS[kind]).quantize(source, tmp_path / "out", SPECS[kind], [])
    assert "calibration_split" in caught.value.hint


@each_kind
def test_an_exclusion_that_matches_nothing_is_an_error(
    kind: str,
    source_of: SourceOf,
    batches: dict[str, list[Arrays]],
    tmp_path: Path,
) -> None:
    skip_without(kind)
    spec = SPECS[kind].model_copy(update={"node_exclusion": ("clasifier",)})
    source = source_of(kind, "distilbert")
    with pytest.raises(RecipeError, match="node_exclusion clasifier: no node") as caught:
        quantizer_for(spec).quantize(source, tmp_path / "out", spec, batches["distilbert"])
    assert "classifier" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["onnx", "torch", "inc-static"])
def test_a_session_takes_what_it_needs_and_misses_what_is_not_there(
    name: str,
    quantized: Make,
    models: Folders,
    exports: Folders,
    batches: dict[str, list[Arrays]],
) -> None:
    places = {
        "onnx": lambda: (exports["distilbert"], "model.onnx"),
        "torch": lambda: (models["distilbert"], "model.safetensors"),
        "inc-static": lambda: (quantized("inc-static", "distilbert")[0], "pytorch_model.bin"),
    }
    session = _runtime(name).load(*places[name](), threads=1)
    assert session.input_names == ("input_ids", "attention_mask")
    plain = batches["distilbert"][0]
    more = {**plain, "token_type_ids": np.zeros_like(plain["input_ids"])}
    assert np.array_equal(session.run(more)["logits"], session.run(plain)["logits"])
    with pytest.raises(ModelError, match="attention_mask"):
        session.run({"input_ids": plain["input_ids"]})
    session.close()
    with pytest.raises(ModelError, match="closed"):
        session.run(plain)


def test_a_variant_names_its_runtime() -> None:
    artifact = Artifact(digest="0" * 64, files=())

    def variant(**given: str) -> Variant:
        return Variant.model_validate(
            {"name": "v", "artifact": artifact, "model_file": "m", "size_bytes": 1, **given}
        )

    assert runtime_for(variant(format="onnx", precision="fp32")) is RUNTIMES.get("onnx")
    assert runtime_for(variant(format="onnx", precision="int8")) is RUNTIMES.get("onnx")
    torch = runtime_for(variant(format="pytorch", precision="fp32"))
    assert torch is RUNTIMES.get("pytorch-fp32")
    int8 = runtime_for(variant(format="pytorch", precision="int8"))
    assert int8 is RUNTIMES.get("pytorch-int8")
    for precision in ("fp32", "int8"):
        found = runtime_for(variant(format="openvino", precision=precision))
        assert found is RUNTIMES.get(f"openvino-{precision}")


def test_every_kind_of_a_recipe_has_a_quantizer() -> None:
    for kind, spec in SPECS.items():
        assert isinstance(spec, Part)
        assert hasattr(quantizer_for(spec), "quantize"), kind
