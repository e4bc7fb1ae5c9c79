"""Tensors of the Open Inference Protocol, version 2, and numpy arrays: as JSON and as bytes.

Sources: specification/protocol/inference_rest.md of kserve/open-inference-protocol for the JSON,
docs/protocol/extension_binary_data.md of triton-inference-server/server for the bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubkit.serving.refusal import Refusal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.generic]

# Data type of the protocol -> numpy's, little-endian. BYTES: an object array of bytes.
NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": "O",
}
_LENGTH = struct.Struct("<I")
# Of an array in numpy's words -> the protocol's.
_NAMES = {numpy.lstrip("<"): name for name, numpy in NUMPY.items()}


def datatype_of(array: Array) -> str:
    """The protocol's name for an array's elements. Raises KeyError where it has none."""
    return _NAMES["?" if array.dtype.kind == "b" else array.dtype.str.lstrip("<|=")]


def elements(shape: Sequence[int]) -> int:
    """How many numbers a tensor of that shape has."""
    total = 1
    for size in shape:
        total *= size
    return total


def to_bytes(array: Array) -> bytes:
    """An array as the binary tensor data extension has it."""
    if array.dtype.kind == "O":
        return b"".join(_LENGTH.pack(len(one)) + one for one in array.ravel().tolist())
    return array.tobytes()


def from_bytes(data: memoryview, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """The array that bytes stand for. Raises Refusal (400) where they are too few or too many."""
    import numpy as np

    if datatype == "BYTES":
        return _strings(data, elements(shape), name).reshape(shape)
    dtype = np.dtype(NUMPY[datatype])
    if len(data) != elements(shape) * dtype.itemsize:
        raise Refusal(
            400,
            f"input {name}: {len(data)} bytes of binary data, but {datatype}{list(shape)} has"
            f" {elements(shape) * dtype.itemsize}",
        )
    return np.frombuffer(data, dtype).reshape(shape)


def _strings(data: memoryview, count: int, name: str) -> Array:
    import numpy as np

    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < count:
        if at + 4 > len(data):
            break
        (size,) = _LENGTH.unpack_from(data, at)
        if at + 4 + size > len(data):
            break
        found.append(bytes(data[at + 4 : at + 4 + size]))
        at += 4 + size
    if at != len(data) or len(found) != count:
        raise Refusal(400, f"input {name}: its binary data is not {count} length-prefixed strings")
    array = np.empty(count, dtype=object)
    array[:] = found
    return array


def from_json(data: object, datatype: str, shape: tuple[int, ...], name: str) -> Array:
    """The array that a tensor's `data` stands for, flat or nested as its shape is.

    Raises Refusal (400) for another number of elements, ragged nesting, or elements of another
    kind: numbers are not rounded, and true is no number.
    """
    import numpy as np

    if datatype == "FP16":
        raise Refusal(400, f"input {name}: FP16 has no JSON form; send it as binary data")
    flat = _flattened(data, shape, name)
    if len(flat) != elements(shape):
        raise Refusal(
            400, f"input {name}: {len(flat)} elements, but the shape {list(shape)} has"
            f" {elements(shape)}"
        )  # fmt: skip
    kinds = _KINDS[datatype if datatype[0] == "B" else datatype[0]]
    if not {*map(type, flat)} <= kinds:
        wrong = next(one for one in flat if type(one) not in kinds)
        raise Refusal(400, f"input {name}: {str(wrong)[:40]!r} is no {datatype}")
    if datatype == "BYTES":
        array = np.empty(len(flat), dtype=object)
        try:
            array[:] = [str(one).encode() for one in flat]
        except UnicodeEncodeError:  # "\\ud800", half of a pair
            raise Refusal(400, f"input {name}: a string is no Unicode text") from None
        return array.reshape(shape)
    try:
        return np.array(flat, dtype=NUMPY[datatype]).reshape(shape)
    except OverflowError:
        raise Refusal(400, f"input {name}: a number is outside the range of {datatype}") from None


# A data type, or its first letter -> the types of JSON that it is written in.
_KINDS: dict[str, frozenset[type]] = {
    "U": frozenset({int}),
    "I": frozenset({int}),
    "F": frozenset({int, float}),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}


def _flattened(data: object, shape: tuple[int, ...], name: str) -> list[object]:
    if not isinstance(data, list):
        raise Refusal(400, f"input {name}: data must be an array")
    level: list[object] = data
    if not any(isinstance(one, list) for one in level):
        return level
    for depth, size in enumerate(shape):
        if depth == 0:
            if len(level) != size:
                raise Refusal(
                    400, f"input {name}: {len(level)} rows, but its shape is {list(shape)}"
                )
            continue
        deeper: list[object] = []
        for one in level:
            if not isinstance(one, list) or len(one) != size:
                raise Refusal(
                    400, f"input {name}: its data is ragged, or not of the shape {list(shape)}"
                )
            deeper += one
        level = deeper
    return level


def to_json(array: Array) -> list[object]:
    """The flat list that a tensor's `data` is. Raises Refusal (400) for FP16, which has no JSON."""
    if array.dtype.kind == "O":
        return [one.decode("utf-8", "replace") for one in array.ravel().tolist()]
    if array.dtype.str == "<f2":
        raise Refusal(400, "an FP16 output has no JSON form; ask for it with binary_data")
    flat: list[object] = array.ravel().tolist()
    return flat
