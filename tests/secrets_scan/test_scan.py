"""Secrets in every place of a bundle where one may be, named by file and place, and not shown."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from hubkit.errors import HubkitError
from hubkit.secrets_scan.scan import Hit, refuse_secrets, scan_bundle
from tests.secrets_scan.planted import mixed

TOKEN = "hf_" + mixed(36)
HOME = "/home/" + "alice"


def scan(folder: Path) -> list[tuple[str, str, str]]:
    return [(hit.path, hit.where, hit.kind) for hit in scan_bundle(folder)]


def write(folder: Path, name: str, data: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def test_the_line_of_a_text_file(tmp_path: Path) -> None:
    write(tmp_path, "sub/README.md", f"# Card\n\ntoken {TOKEN}\nagain {TOKEN}\n{HOME}/x\n")
    assert scan(tmp_path) == [
        ("sub/README.md", "line 3", "Hugging Face token"),
        ("sub/README.md", "line 5", "home folder"),
    ]


def test_keys_and_values_of_json_and_yaml(tmp_path: Path) -> None:
    nested = {"a": [{"b": "x"}, {"c": f"see {TOKEN}"}], HOME: 1}
    write(tmp_path, "a.json", json.dumps(nested, indent=1))
    write(tmp_path, "b.yaml", f'x:\n  - "\\u0068f_{TOKEN[3:]}"\n')
    assert scan(tmp_path) == [
        ("a.json", "line 7 (a[1].c)", "Hugging Face token"),
        ("a.json", f"line 10 ({HOME})", "home folder"),
        ("b.yaml", "x[0]", "Hugging Face token"),
    ]


def test_escapes_of_json_hide_nothing(tmp_path: Path) -> None:
    escaped = "".join(f"\\u{ord(c):04x}" for c in TOKEN)
    write(tmp_path, "a.json", f'{{"a": "{escaped}", "b": "C:\\\\Users\\\\alice\\\\x"}}')
    write(tmp_path, "b.json", '{"c": "\\/home\\/alice"}')
    assert [(path, kind) for path, _, kind in scan(tmp_path)] == [
        ("a.json", "Hugging Face token"),
        ("a.json", "home folder"),
        ("b.json", "home folder"),
    ]


def test_a_password_by_the_name_of_its_key(tmp_path: Path) -> None:
    write(tmp_path, "a.json", json.dumps({"auth": {"client_secret": mixed(24)}, "id": mixed(24)}))
    assert scan(tmp_path) == [("a.json", "line 1 (auth.client_secret)", "password")]


def test_json_that_is_none_is_read_as_lines(tmp_path: Path) -> None:
    write(tmp_path, "a.json", f'{{"a": \n"{TOKEN}"')
    assert scan(tmp_path) == [("a.json", "line 2", "Hugging Face token")]


def test_other_encodings(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", f"x\n{TOKEN}".encode("utf-16"))
    write(tmp_path, "b.txt", f"\ufeff{TOKEN}".encode())
    write(tmp_path, "c.txt", b"\xfc\xf6\xe4" + TOKEN.encode("latin-1"))
    assert [path for path, _, _ in scan(tmp_path)] == ["a.txt", "b.txt", "c.txt"]


def test_rows_of_a_dataset_and_addresses_on_a_hub_are_no_folders(tmp_path: Path) -> None:
    samples = [{"primary": f"{HOME} is a film", "words": [HOME]}, {"secondary": TOKEN}]
    write(tmp_path, "results.json", json.dumps({"samples": samples, "url": HOME}))
    assert scan(tmp_path) == [
        ("results.json", "line 1 (samples[1].secondary)", "Hugging Face token")
    ]


def test_a_vocabulary_may_hold_any_word(tmp_path: Path) -> None:
    words = {f"{HOME}": 0, TOKEN: 1, "-----BEGIN " + "RSA PRIVATE KEY-----": 2}
    write(tmp_path, "vocab.json", json.dumps(words))
    write(tmp_path, "vocab.txt", "\n".join(words))
    write(tmp_path, "merges.txt", f"{HOME} x")
    tokenizer = {"model": {"vocab": words, "merges": [HOME], "type": "BPE"}, "x": {"y": HOME}}
    write(tmp_path, "tokenizer.json", json.dumps(tokenizer))
    assert scan(tmp_path) == [("tokenizer.json", "line 1 (x.y)", "home folder")]


def test_strings_of_an_onnx_graph(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Identity", ["a"], ["b"], name=f"{HOME}/src/model.py:12")
    node.doc_string = f"made with {TOKEN}"
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "ab"]
    strings = helper.make_tensor("words", TensorProto.STRING, [1], [b"/Users/" + b"bob/x"])
    graph = helper.make_graph([node], "g", value[:1], value[1:], [strings])
    model = helper.make_model(graph)
    helper.set_model_props(model, {"source": "C:\\Users\\" + "carol\\model"})
    onnx.save(model, tmp_path / "model.onnx")
    assert scan(tmp_path) == [
        ("model.onnx", "graph.node[0].doc_string", "Hugging Face token"),
        ("model.onnx", "graph.node[0].name", "home folder"),
        ("model.onnx", "graph.initializer[0].string_data", "home folder"),
        ("model.onnx", "metadata_props[0].value", "home folder"),
    ]


def test_metadata_of_safetensors(tmp_path: Path) -> None:
    header = json.dumps(
        {
            "__metadata__": {"format": "pt", "from": f"{HOME}/run"},
            "w": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
        }
    ).encode()
    write(tmp_path, "model.safetensors", struct.pack("<Q", len(header)) + header + b"\0" * 4)
    assert scan(tmp_path) == [("model.safetensors", "__metadata__.from", "home folder")]


def test_strings_of_a_pytorch_file(tmp_path: Path) -> None:
    import torch

    torch.save({"w": torch.zeros(3), "from": f"{HOME}/run"}, tmp_path / "pytorch_model.bin")
    ((path, where, kind),) = scan(tmp_path)
    assert (path, kind) == ("pytorch_model.bin", "home folder")
    assert "data.pkl, byte " in where


@pytest.mark.parametrize(
    "name", ["plot.png", "model.onnx", "model.safetensors", "pytorch_model.bin"]
)
def test_other_files_are_read_byte_by_byte(tmp_path: Path, name: str) -> None:
    noise = bytes(range(256)) * 40
    write(tmp_path, name, noise + TOKEN.encode() + b"\0" + noise)
    ((path, where, kind),) = scan(tmp_path)
    assert (path, kind) == (name, "Hugging Face token")
    assert where == "bytes 0"


def test_a_secret_across_two_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkit.secrets_scan.pieces._BLOCK", 64)
    write(tmp_path, "x.dat", b"\0" * 50 + TOKEN.encode() + b"\0" * 90)
    assert len(scan(tmp_path)) == 1


def test_weights_hold_nothing_by_chance(tmp_path: Path) -> None:
    import numpy as np

    noise = np.random.default_rng(0).integers(0, 256, 1 << 22, dtype=np.uint8).tobytes()
    write(tmp_path, "weights.dat", noise)
    assert scan(tmp_path) == []


def test_notebooks(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["hello"]},
        {"cell_type": "code", "source": [f"x = '{TOKEN}'"], "outputs": []},
        {"cell_type": "code", "source": ["1"], "outputs": [{"output_type": "stream", "text": "1"}]},
    ]
    write(tmp_path, "a.ipynb", json.dumps({"cells": cells}))
    assert scan(tmp_path) == [
        ("a.ipynb", "line 1 (cells[1].source[0])", "Hugging Face token"),
        ("a.ipynb", "cell 3", "output of a notebook"),
    ]


def test_files_that_are_secrets_by_name(tmp_path: Path) -> None:
    write(tmp_path, "sub/.env", "A=1\n")
    assert scan(tmp_path) == [("sub/.env", "", "a file that holds secrets")]


def test_the_refusal_names_places_and_cure_and_shows_nothing(tmp_path: Path) -> None:
    write(tmp_path, "README.md", f"\n{TOKEN}\n" + "".join(f"{HOME}{n}/x\n" for n in range(20)))
    with pytest.raises(HubkitError) as caught:
        refuse_secrets(tmp_path)
    error = caught.value
    assert error.exit_code == 1
    assert "README.md, line 2: Hugging Face token hf_a… (39 characters)" in error.message
    assert "and 11 more" in error.message
    said = f"{error.message}{error.hint}"
    assert TOKEN[:12] not in said
    assert HOME not in said
    assert "allow_in_scan" in error.hint


def test_what_the_recipe_allows(tmp_path: Path) -> None:
    write(tmp_path, "README.md", f"{HOME}/x and {TOKEN}\n")
    hits = {hit.kind: hit for hit in scan_bundle(tmp_path)}
    allowed = {"publication": {"allow_in_scan": [hits["home folder"].digest]}}
    write(tmp_path, "recipe.json", json.dumps(allowed))
    with pytest.raises(HubkitError, match="Hugging Face token") as caught:
        refuse_secrets(tmp_path)
    assert "home folder" not in caught.value.message
    allowed["publication"]["allow_in_scan"].append(hits["Hugging Face token"].digest)
    write(tmp_path, "recipe.json", json.dumps(allowed))
    refuse_secrets(tmp_path)


def test_a_clean_folder(tmp_path: Path) -> None:
    write(tmp_path, "README.md", "# Card\n")
    write(tmp_path, "recipe.json", "not json")
    refuse_secrets(tmp_path)
    assert scan_bundle(tmp_path) == ()
    assert str(Hit(path="a", where="", kind="k", digest="0" * 64)) == "a: k"


def test_a_password_is_not_shown_in_part(tmp_path: Path) -> None:
    write(tmp_path, "a.md", "https://me:hunter22@example.org/x\n")
    (hit,) = scan_bundle(tmp_path)
    with pytest.raises(HubkitError) as caught:
        refuse_secrets(tmp_path)
    said = f"{caught.value.message}{caught.value.hint}"
    assert "(8 characters)" in said
    assert "hunt" not in said
    assert hit.digest not in said


def test_a_key_that_is_there_twice(tmp_path: Path) -> None:
    write(tmp_path, "a.json", f'{{"token": "{TOKEN}", "token": "x"}}')
    assert [kind for _, _, kind in scan(tmp_path)] == ["Hugging Face token"]


def test_one_letter_of_an_old_encoding_makes_no_binary(tmp_path: Path) -> None:
    write(tmp_path, "a.txt", b"caf\xe9 https://me:hunter22@example.org/x\n")
    assert scan(tmp_path) == [("a.txt", "line 1", "password in an address")]


def test_names_of_vocabularies_hide_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, "any.model", f"{TOKEN}\n")
    assert [path for path, _, _ in scan(tmp_path)] == ["any.model"]


def test_passwords_in_what_a_model_says_of_itself(tmp_path: Path) -> None:
    header = json.dumps({"__metadata__": {"from": "postgres://me:hunter22@db/x"}}).encode()
    write(tmp_path, "m.safetensors", struct.pack("<Q", len(header)) + header)
    assert [kind for _, _, kind in scan(tmp_path)] == ["password in an address"]
