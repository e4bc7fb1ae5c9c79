"""Bodies of inference requests and answers: JSON, with tensors in it or as bytes after it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from hubkit.serving.refusal import Refusal
from hubkit.serving.tensors import NUMPY, datatype_of, from_bytes, from_json, to_bytes, to_json

if TYPE_CHECKING:
    from hubkit.serving.tensors import Array

# The header that tells how many bytes of a body are its JSON.
JSON_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Asked:
    """An output that is wanted; `binary`: as bytes after the JSON."""

    name: str
    binary: bool


@dataclass(frozen=True)
class Inference:
    """A request: tensors by name. `outputs` None: all of them, as bytes where `binary`."""

    inputs: Mapping[str, Array]
    outputs: tuple[Asked, ...] | None = None
    binary: bool = False
    id: str | None = None


@dataclass(frozen=True)
class Body:
    """The bytes of a body and how many of them are JSON; None: all."""

    data: bytes
    json_length: int | None = None

    def headers(self) -> dict[str, str]:
        """What the body's kind and size say of it."""
        if self.json_length is None:
            return {"Content-Type": "application/json", "Content-Length": str(len(self.data))}
        return {
            "Content-Type": "application/octet-stream",
            JSON_LENGTH: str(self.json_length),
            "Content-Length": str(len(self.data)),
        }


Object = dict[str, object]


def decode_request(body: bytes, json_length: int | None) -> Inference:
    """What a request's body asks. Raises Refusal (400), which says what is wrong where."""
    document, rest = _split(body, json_length)
    parameters = _parameters(document, "the request")
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise Refusal(400, "id must be a string")
    inputs, rest = _tensors(document.get("inputs"), rest, "inputs", "input")
    if rest:
        raise Refusal(400, f"{len(rest)} bytes after the JSON are of no input")
    binary = parameters.get("binary_data_output") is True
    return Inference(inputs, _asked(document.get("outputs"), binary), binary, identity)


def _split(body: bytes, json_length: int | None) -> tuple[Object, memoryview]:
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        raise Refusal(400, f"{JSON_LENGTH} is {length}, but the body has {len(body)} bytes")
    try:
        document = json.loads(body[:length])
    except (ValueError, RecursionError) as error:
        said = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Refusal(400, f"the body is no JSON: {said}") from None
    if not isinstance(document, dict):
        raise Refusal(400, "the body must be a JSON object")
    return document, memoryview(body)[length:]


def _tensors(
    value: object, rest: memoryview, where: str, what: str
) -> tuple[dict[str, Array], memoryview]:
    if not isinstance(value, list) or not value:
        raise Refusal(400, f"{where} must be an array of at least one tensor")
    found: dict[str, Array] = {}
    for number, one in enumerate(value):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Refusal(400, f"{where}[{number}] must be an object with a name")
        name = cast("str", one["name"])
        if name in found:
            raise Refusal(400, f"{what} {name} is given twice")
        found[name], rest = _tensor(one, name, rest, what)
    return found, rest


def _tensor(one: Object, name: str, rest: memoryview, what: str) -> tuple[Array, memoryview]:
    datatype, shape = one.get("datatype"), one.get("shape")
    if not isinstance(datatype, str) or datatype not in NUMPY:
        raise Refusal(400, f"{what} {name}: {str(datatype)[:40]!r} is no data type")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise Refusal(400, f"{what} {name}: shape must be an array of sizes")
    sizes = tuple(cast("list[int]", shape))
    # Sizes beside a 0 too: numpy multiplies them before it looks for one.
    if len(sizes) > 8 or math.prod(size or 1 for size in sizes) > 1 << 31:
        raise Refusal(400, f"{what} {name}: the shape {str(sizes)[:60]} is out of reach")
    size = _parameters(one, f"{what} {name}").get("binary_data_size")
    if size is None:
        if "data" not in one:
            raise Refusal(400, f"{what} {name} has no data")
        return from_json(one["data"], datatype, sizes, name), rest
    if type(size) is not int or not 0 <= size <= len(rest):
        raise Refusal(
            400, f"{what} {name}: binary_data_size is {size}, and {len(rest)} bytes are left"
        )
    return from_bytes(rest[:size], datatype, sizes, name), rest[size:]


def _parameters(one: Object, where: str) -> Object:
    parameters = one.get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, f"{where}: parameters must be an object")
    return parameters


def _asked(value: object, binary: bool) -> tuple[Asked, ...] | None:
    if value is None or value == []:
        return None
    if not isinstance(value, list):
        raise Refusal(400, "outputs must be an array")
    found = []
    for number, one in enumerate(value):
        if not isinstance(one, dict) or not isinstance(one.get("name"), str):
            raise Refusal(400, f"outputs[{number}] must be an object with a name")
        own = _parameters(one, f"output {one['name']}").get("binary_data", binary)
        found.append(Asked(one["name"], own is True))
    return tuple(found)


def encode_request(
    inputs: Mapping[str, Array],
    *,
    outputs: Sequence[str] = (),
    binary: bool = True,
    id: str | None = None,
) -> Body:
    """The body that asks for those outputs (none named: all). `binary`: tensors as bytes, there and
    back, as tritonclient does it."""
    tensors, blobs = _encoded(inputs, [binary] * len(inputs))
    document: Object = {} if id is None else {"id": id}
    document["inputs"] = tensors
    if outputs:
        document["outputs"] = [
            {"name": name, **({"parameters": {"binary_data": True}} if binary else {})}
            for name in outputs
        ]
    elif binary:
        document["parameters"] = {"binary_data_output": True}
    return _body(document, blobs)


def encode_answer(document: Object, outputs: Mapping[str, Array], binary: Sequence[bool]) -> Body:
    """An answer with those outputs, each as bytes or in the JSON; `document`: what goes before
    them."""
    tensors, blobs = _encoded(outputs, binary)
    return _body({**document, "outputs": tensors}, blobs)


def _encoded(
    arrays: Mapping[str, Array], binary: Sequence[bool]
) -> tuple[list[Object], list[bytes]]:
    tensors: list[Object] = []
    blobs: list[bytes] = []
    for (name, array), as_bytes in zip(arrays.items(), binary, strict=True):
        one: Object = {"name": name, "datatype": datatype_of(array), "shape": list(array.shape)}
        if as_bytes:
            blobs.append(to_bytes(array))
            one["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            one["data"] = to_json(array)
        tensors.append(one)
    return tensors, blobs


def _body(document: Object, blobs: list[bytes]) -> Body:
    # Infinity and NaN are no JSON, and are what a broken model answers.
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    return Body(b"".join([text, *blobs]), len(text)) if blobs else Body(text)


@dataclass(frozen=True)
class Answer:
    """An answer read: outputs by name."""

    model: str
    outputs: Mapping[str, Array] = field(default_factory=dict)
    id: str | None = None


def decode_answer(body: bytes, json_length: int | None) -> Answer:
    """What a server answered. Raises Refusal where that is nothing of the protocol."""
    document, rest = _split(body, json_length)
    outputs, _ = _tensors(document.get("outputs"), rest, "outputs", "output")
    identity = document.get("id")
    return Answer(
        str(document.get("model_name", "")),
        outputs,
        identity if isinstance(identity, str) else None,
    )
