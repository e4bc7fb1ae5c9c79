"""The texts in a file, each with the place where a reader finds it again."""

from __future__ import annotations

import json
import pickletools
import re
import struct
import zipfile
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Protocol, cast

Piece = tuple[str, str]  # (where, text)
Kind = Literal["text", "strings", "raw"]

_VOCABULARIES = re.compile(
    r"vocab\.(txt|json)|merges\.txt|(tokenizer|spiece|sentencepiece(\.bpe)?)\.model", re.IGNORECASE
)
_TOKENIZER = "tokenizer.json"
_JSON = (".json", ".ipynb")
# What is no ASCII is nothing, and no letter that a word could go on with.
_ASCII = bytes(range(128)) + bytes(128)
_BLOCK, _OVERLAP = 1 << 23, 1 << 12


def pieces_of(path: Path) -> tuple[Iterable[Piece], Kind]:
    """The texts of a file, and what they are: of a text file, strings in a model, raw bytes.

    Of JSON the keys and values, without their escapes; of YAML these and the lines; of models
    (ONNX, safetensors, PyTorch) names, descriptions and other strings; of any other file its bytes.
    The words of a tokenizer's vocabulary are left out: any word may be one.
    """
    if _VOCABULARIES.fullmatch(path.name):
        return [], "text"
    model = _MODELS.get(path.suffix)
    if model is not None:
        with suppress(ValueError, OSError, zipfile.BadZipFile, struct.error):
            return list(model(path)), "strings"
    text = _text(path)
    if text is None:
        return _raw(path), "raw"
    values = list(_values(path, text))
    if values and path.suffix in _JSON:
        return values, "text"
    return [*_lines(text), *values], "text"


def line_of(path: Path, part: str) -> int | None:
    """The first line of a text file that has a part, as it is or as JSON writes it; None: no line
    has it."""
    forms = (part, json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
    lines = (_text(path) or "").split("\n")
    return next((n for n, line in enumerate(lines, 1) if any(f in line for f in forms)), None)


def joined(pieces: list[Piece]) -> tuple[str, list[int]]:
    """The texts as one, a line break between, and where in it each begins."""
    starts, at = [], 0
    for _, text in pieces:
        starts.append(at)
        at += len(text) + 1
    return "\n".join(text for _, text in pieces), starts


def place_at(pieces: list[Piece], starts: list[int], offset: int) -> str:
    """Where the piece is that an offset of `joined` falls into."""
    return pieces[bisect_right(starts, offset) - 1][0]


def _text(path: Path) -> str | None:
    data = path.read_bytes() if path.stat().st_size < 1 << 30 else b"\0"
    with suppress(UnicodeDecodeError):
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            return data.decode("utf-16")
        if b"\0" not in data[:8192]:
            return data.decode("utf-8-sig")
    # One letter of an old encoding makes no text something else.
    return None if b"\0" in data else data.decode("latin-1")


def _lines(text: str) -> Iterator[Piece]:
    for number, line in enumerate(text.split("\n"), 1):
        yield f"line {number}", line


def _values(path: Path, text: str) -> Iterator[Piece]:
    value: object = None
    if path.suffix in _JSON:
        with suppress(ValueError, RecursionError):
            value = json.loads(text, object_pairs_hook=_every_value)
    elif path.suffix in (".yaml", ".yml", ".cff"):
        import yaml

        with suppress(yaml.YAMLError, RecursionError):
            # In C where it is there: the other takes seconds for a megabyte.
            value = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    if path.name == _TOKENIZER and isinstance(value, dict):
        model = value.get("model")
        if isinstance(model, dict):
            value = {**value, "model": {k: v for k, v in model.items() if k not in _WORDS}}
    yield from _walk(value, "")


_WORDS = ("vocab", "merges")


def _every_value(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON; of a key that is there twice, which readers pass over, both values."""
    found: dict[str, object] = {}
    for key, value in pairs:
        found[key] = [found[key], value] if key in found else value
    return found


def _walk(value: object, where: str) -> Iterator[Piece]:
    if isinstance(value, dict):
        for key, item in value.items():
            inner = f"{where}.{key}" if where else str(key)
            if isinstance(item, str):
                # With its key, which may be what says that it is a password.
                quoted = "'" if '"' in item else '"'
                yield inner, f"{key}: {quoted}{item}{quoted}"
            else:
                yield inner, str(key)
                yield from _walk(item, inner)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, f"{where}[{index}]")
    elif isinstance(value, str):
        yield where, value


def _raw(path: Path) -> Iterator[Piece]:
    with path.open("rb") as file:
        at, kept = 0, b""
        while block := file.read(_BLOCK):
            yield f"bytes {at}", (kept + block).translate(_ASCII).decode("ascii")
            at, kept = at + len(block), block[-_OVERLAP:]


def _onnx(path: Path) -> Iterator[Piece]:
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load_model(path, load_external_data=False)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    yield from _message(model, "")


class _Field(Protocol):
    """A field of a protocol buffer's descriptor."""

    name: str
    type: int
    TYPE_MESSAGE: int


class _Message(Protocol):
    """A protocol buffer, whose own classes have no types."""

    def ListFields(self) -> Sequence[tuple[_Field, object]]: ...


def _message(message: _Message, where: str) -> Iterator[Piece]:
    """Every string of a protocol buffer; of tensors not their numbers."""
    for field, value in message.ListFields():
        name = f"{where}.{field.name}" if where else field.name
        many = isinstance(value, Sequence) and not isinstance(value, str | bytes)
        for index, item in enumerate(cast("Sequence[object]", value) if many else (value,)):
            if field.type == field.TYPE_MESSAGE:
                yield from _message(cast("_Message", item), f"{name}[{index}]" if many else name)
            elif isinstance(item, str):
                yield name, item
            elif isinstance(item, bytes) and field.name != "raw_data":
                yield name, item.decode("latin-1")


def _safetensors(path: Path) -> Iterator[Piece]:
    """The header: its length as 8 bytes, then JSON (safetensors' README, "Format")."""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > path.stat().st_size:
            raise ValueError("no safetensors file")
        yield from _walk(json.loads(file.read(length)), "")


def _torch(path: Path) -> Iterator[Piece]:
    """The strings in the pickle of a PyTorch file, read without unpickling anything."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.endswith(".pkl"):
                for _, argument, position in pickletools.genops(archive.read(name)):
                    if isinstance(argument, str):
                        yield f"{name}, byte {position}", argument


_MODELS = {
    ".onnx": _onnx,
    ".safetensors": _safetensors,
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
}
