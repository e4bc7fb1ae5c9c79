"""Bodies of the Open Inference Protocol, in JSON and with binary tensors."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from hubkit.serving.codec import decode_answer, decode_request, encode_answer, encode_request
from hubkit.serving.refusal import Refusal
from hubkit.serving.tensors import NUMPY, datatype_of

ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "INT32": np.array([[1, -2]], np.int32),
    "INT64": np.array([[1 << 40, -2]]),
    "FP16": np.array([[0.5, -2]], np.float16),
    "FP32": np.array([[0.1, -2]], np.float32),
    "FP64": np.array([[0.1, -2]]),
    "BYTES": np.array([[b"a", "größer".encode()]], object),
}


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("binary", [True, False])
def test_a_tensor_comes_back_as_it_went(name: str, binary: bool) -> None:
    array = ARRAYS[name]
    if name == "FP16" and not binary:
        with pytest.raises(Refusal, match="FP16"):
            encode_request({"x": array}, binary=False)
        return
    body = encode_request({"x": array}, binary=binary, id="7")
    read = decode_request(body.data, body.json_length)
    assert read.id == "7"
    assert read.binary is binary
    assert datatype_of(read.inputs["x"]) == name
    assert read.inputs["x"].shape == array.shape
    assert read.inputs["x"].tolist() == array.tolist()


def test_the_bytes_are_those_of_the_extension() -> None:
    body = encode_request({"x": np.array([b"ab", b""], object), "y": np.array([1], np.int32)})
    assert body.json_length is not None
    expected = struct.pack("<I", 2) + b"ab" + struct.pack("<I", 0) + struct.pack("<i", 1)
    assert body.data[body.json_length :] == expected
    tensors = json.loads(body.data[: body.json_length])["inputs"]
    assert [one["parameters"]["binary_data_size"] for one in tensors] == [10, 4]
    assert body.headers()["Inference-Header-Content-Length"] == str(body.json_length)


def test_an_answer_mixes_both_forms() -> None:
    outputs = {"a": np.array([[1.5]], np.float32), "b": np.array([2], np.int64)}
    body = encode_answer({"model_name": "m", "id": "1"}, outputs, [True, False])
    answer = decode_answer(body.data, body.json_length)
    assert (answer.model, answer.id) == ("m", "1")
    assert {name: array.tolist() for name, array in answer.outputs.items()} == {
        "a": [[1.5]],
        "b": [2],
    }


def test_a_nan_is_no_json() -> None:
    with pytest.raises(ValueError, match="JSON"):
        encode_answer({}, {"a": np.array([np.nan], np.float32)}, [False])


def test_what_outputs_are_asked_for() -> None:
    inputs = [{"name": "x", "shape": [1], "datatype": "INT64", "data": [1]}]
    text = {
        "inputs": inputs,
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}],
    }
    read = decode_request(json.dumps(text).encode(), None)
    assert read.outputs is not None
    assert [(one.name, one.binary) for one in read.outputs] == [("a", True), ("b", False)]


def _input(**changes: object) -> dict[str, object]:
    one = {"name": "x", "shape": [1, 2], "datatype": "INT64", "data": [1, 2], **changes}
    return {"inputs": [one]}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "object"),
        ({}, "inputs"),
        ({"inputs": [1]}, r"inputs\[0\]"),
        ({"inputs": _input()["inputs"], "id": 7}, "id must be a string"),
        ({"inputs": _input()["inputs"], "outputs": {}}, "outputs"),
        ({"inputs": _input()["inputs"], "parameters": []}, "parameters"),
        ({"inputs": [*_input()["inputs"], *_input()["inputs"]]}, "twice"),  # type: ignore[misc]
        (_input(datatype="INT4"), "no data type"),
        (_input(shape=[1, -2]), "shape"),
        (_input(shape="2"), "shape"),
        (_input(shape=[1 << 40, 1 << 40]), "out of reach"),
        (_input(shape=[0, *[1 << 31] * 3], data=[]), "out of reach"),
        (_input(datatype="BYTES", data=["good", "\ud800"]), "no Unicode text"),
        (_input(data=[1]), "1 elements"),
        (_input(data="x"), "array"),
        (_input(data=[1, 2.5]), "2.5"),
        (_input(data=[1, True]), "True"),
        (_input(data=[1, "2"]), "'2'"),
        (_input(data=[1, None]), "None"),
        (_input(data=[1, 1 << 70]), "range"),
        (_input(shape=[2, 2], data=[[1, 2], [3]]), "ragged"),
        (_input(shape=[2, 2], data=[[1, 2]]), "1 rows"),
        (_input(shape=[1, 2], data=[[1, [2]]]), "no INT64"),
        (_input(datatype="FP16"), "FP16"),
        (_input(parameters={"binary_data_size": 16}), "0 bytes are left"),
        (_input(parameters={"binary_data_size": True}), "binary_data_size"),
        ({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64"}]}, "no data"),
    ],
)
def test_what_does_not_fit_is_refused(document: object, said: str) -> None:
    with pytest.raises(Refusal, match=said) as caught:
        decode_request(json.dumps(document).encode(), None)
    assert caught.value.status == 400


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b"nan"])
def test_broken_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        decode_request(body, None)
    assert caught.value.status == 400


def test_binary_data_of_another_size_is_refused() -> None:
    body = encode_request({"x": np.array([1, 2], np.int64)})
    assert body.json_length is not None
    for data, said in ((body.data + b"!", "of no input"), (body.data[:-1], "15 bytes are left")):
        with pytest.raises(Refusal, match=said):
            decode_request(data, body.json_length)
    with pytest.raises(Refusal, match="Inference-Header-Content-Length"):
        decode_request(body.data, len(body.data) + 1)


def test_strings_that_reach_past_their_end_are_refused() -> None:
    body = encode_request({"x": np.array([b"abc"], object)})
    assert body.json_length is not None
    broken = body.data.replace(struct.pack("<I", 3), struct.pack("<I", 9))
    with pytest.raises(Refusal, match="length-prefixed"):
        decode_request(broken, body.json_length)


def test_every_data_type_has_an_array() -> None:
    assert {datatype_of(np.zeros(1, NUMPY[name])) for name in NUMPY} == set(NUMPY)
