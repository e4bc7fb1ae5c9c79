"""Bad input: what is wrong and its cure are said, nothing is pushed, and mended it goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e_small.worlds import World, dataset, write_csv

Spoil = Callable[[World], None]


def _config(world: World, **changes: object) -> None:
    path = world.model / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, **changes}), encoding="utf-8")


def _cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


def _parquet(world: World) -> None:
    shutil.rmtree(world.folder / "data")
    (world.folder / "data").mkdir()
    (world.folder / "data" / "validation.parquet").write_bytes(b"PAR1" + bytes(99) + b"PAR1")


# name: what spoils it, exit code, parts of the message, part of the hint
CASES: dict[str, tuple[Spoil, int, tuple[str, ...], str]] = {
    "broken YAML": (
        lambda w: w.recipe.write_text("schema: 1\nname: [tiny\nbase: {"),
        2,
        ("recipe.yaml:3:", "not readable as YAML"),
        "quotes",
    ),
    "not even text": (
        lambda w: w.recipe.write_bytes(b"\xff\xfe\x00"),
        2,
        ("recipe.yaml", "not UTF-8"),
        "UTF-8",
    ),
    "no column of text": (
        lambda w: w.write(dataset=dataset(data_keys={"primary": "sentense"})),
        1,
        ("no column sentense", "dataset.data_keys.primary", "did you mean sentence?"),
        "Its columns: sentence, label",
    ),
    "no column of labels": (
        lambda w: w.write(dataset=dataset(ref_keys=["lable"])),
        1,
        ("no column lable", "dataset.ref_keys", "did you mean label?"),
        "Its columns: sentence, label",
    ),
    "labels that the model has not": (
        lambda w: w.write(labels={"0": "NEGATIV", "1": "POSITIVE"}),
        2,
        ("recipe.yaml:", "labels.0", "did you mean NEGATIVE?"),
        "label of the model",
    ),
    "labels that the recipe has not": (
        lambda w: write_csv(w.evaluation, [("a film", 0), ("a plot", 2)]),
        1,
        ("split validation", "the value 2", "row 1"),
        "Add it to labels, which knows 0, 1",
    ),
    "rows without a label": (
        lambda w: write_csv(w.evaluation, [("a film", 0), ("a plot", "")]),
        1,
        ("split validation", "without a label", "row 1"),
        "dataset.eval_split",
    ),
    "an empty split": (
        lambda w: write_csv(w.evaluation, []),
        1,
        ("split validation", "is empty"),
        "dataset.eval_split",
    ),
    "no such split": (
        lambda w: w.write(dataset=dataset(eval_split="dev")),
        1,
        ("no split dev",),
        "its splits: train, validation",
    ),
    "a damaged Parquet file": (
        _parquet,
        1,
        ("the dataset data cannot be read",),
        "dataset.path",
    ),
    "text that is not text": (
        lambda w: w.evaluation.write_bytes(b"sentence,label\n\xff\xfe,1\n"),
        1,
        ("the dataset data cannot be read", "utf-8"),
        "dataset.path",
    ),
    "a model for tokens": (
        lambda w: _config(w, architectures=["DistilBertForTokenClassification"]),
        1,
        ("token-classification", "the recipe's task is text-classification"),
        "Set base in the recipe",
    ),
    "a model for masks": (
        lambda w: _config(w, architectures=["DistilBertForMaskedLM"]),
        1,
        ("fill-mask", "the recipe's task is text-classification"),
        "Set base in the recipe",
    ),
    "half of the weights": (
        lambda w: _cut(w.model / "model.safetensors", 50_000),
        1,
        ("model.safetensors is not whole", "50,000 bytes"),
        "download it again",
    ),
    "no weights but noise": (
        lambda w: (w.model / "model.safetensors").write_bytes(b"noise " * 99),
        1,
        ("model.safetensors is no safetensors file",),
        "download it again",
    ),
    "half of the tokenizer": (
        lambda w: _cut(w.model / "tokenizer.json", 1_000),
        1,
        ("tokenizer.json", "is not JSON"),
        "download it again",
    ),
    "no such model folder": (
        lambda w: w.write(base={"source": "local", "path": "modle"}),
        2,
        ("recipe.yaml:", "base.path", "modle"),
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(warm: World, name: str) -> None:
    spoil, code, parts, hint = CASES[name]
    before = shutil.copytree(warm.folder, warm.root / "before")
    spoil(warm)
    done = warm.publish(style="human")
    assert done.code == code
    assert done.out == ""
    error = done.err[done.err.index("error: ") :]
    for part in parts:
        assert part in error
    assert hint in error.partition("  hint: ")[2]
    assert warm.titles() == []
    shutil.rmtree(warm.folder)
    before.rename(warm.folder)
    assert warm.lacks() == []


def test_an_unknown_recipe(warm: World) -> None:
    done = warm.hubkit("publish", "distilbert-sst", "--repo-id", warm.repo)
    assert done.code == 2
    assert "distilbert-sst: unknown recipe, did you mean distilbert-sst2?" in done.err
    assert "hint: Shipped recipes: distilbert-conll03, distilbert-embeddings, distil" in done.err
    assert warm.titles() == []


def test_an_error_is_one_json_object_on_stdout_where_json_is_wanted(warm: World) -> None:
    warm.write(dataset=dataset(eval_split="dev"))
    done = warm.publish()
    assert done.code == 1
    assert done.err == ""
    assert done.json().keys() == {"error", "hint", "exit_code"}
    assert done.json()["exit_code"] == 1


def test_a_gate_that_is_not_met_is_told_in_a_table(warm: World) -> None:
    # FP32 is right in every row, so whatever answer INT8 changes is more than is allowed.
    warm.write(gates={"max_relative_loss": 0, "must_pay": False})
    done = warm.publish(style="human")
    assert done.code == 3
    assert done.out == ""
    error = done.err[done.err.index("error: ") :]
    message, _, hint = error.partition("\n  hint: ")
    assert "no ONNX variant meets the gate, so nothing is published" in message
    header = ["Variant", "accuracy", "FP32", "Loss", "%", "95", "%", "CI", "Allowed", "Verdict"]
    assert header in [line.split() for line in message.splitlines()]
    row = next(line for line in message.splitlines() if line.startswith("onnx-int8-dynamic"))
    assert row.split()[2:3] == ["1.0000"]
    assert float(row.split()[3]) > 0
    assert row.split()[-3:] == ["0", "%", "refused"]
    assert max(map(len, message.splitlines())) <= 80
    assert "gates.max_relative_loss" in hint
    assert warm.titles() == []
    warm.write()
    assert warm.lacks() == []
