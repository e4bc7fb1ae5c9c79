"""bom.cdx.json: valid CycloneDX, the same bytes each time, and in step with its neighbours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from hubkit.provenance.bom import BomInput, bom_json
from hubkit.provenance.bom_check import bom_problems, renderer_of
from hubkit.records import Lock
from tests.cards.examples import REPO_ID, make_lock, make_recipe, make_report

FILES = {"README.md": "a" * 64, "model.onnx": "b" * 64, "assets/ß ü.svg": "c" * 64}
Value = dict[str, "Value"] | list["Value"] | str


def given(**changes: object) -> BomInput:
    parts = {
        "repo_id": REPO_ID,
        "recipe": make_recipe(),
        "lock": make_lock(),
        "report": make_report(),
        "files": FILES,
        "renderer": "d" * 64,
    }
    return BomInput.model_validate({**parts, **changes})


def built_lock() -> Lock:
    lock = make_lock()
    changes = {"source": "built", "url": "/demo/base", "license": None}
    return lock.model_copy(
        update={
            "base": lock.base.model_copy(update=changes),
            "dataset": lock.dataset.model_copy(update=changes),
        }
    )


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lock": built_lock(), "repo_id": "name-alone"},
        {"recipe": make_recipe(publication={"license": "mit", "formats": ["onnx"]})},
        {
            "recipe": make_recipe(
                publication={
                    "license": "other",
                    "license_name": "my-licence",
                    "license_link": "LICENSE",
                }
            )
        },
        {"report": make_report().model_copy(update={"timings": None, "scores": ()})},
    ],
)
def test_it_is_valid_by_the_schema(changes: dict[str, object]) -> None:
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom_json(given(**changes)))
    assert error is None, error


def test_the_validator_would_tell() -> None:
    value = json.loads(bom_json(given()))
    value["metadata"]["component"]["modelCard"]["quantitativeAnalysis"]["oops"] = 1
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(value)) is not None


def test_the_same_bytes_in_any_process() -> None:
    program = "from tests.provenance.test_bom import *; print(bom_json(given()), end='')"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode() == bom_json(given())


def test_the_serial_number_follows_from_the_content() -> None:
    def serial(**changes: object) -> str:
        value = json.loads(bom_json(given(**changes)))
        assert "timestamp" not in value["metadata"]
        return str(value["serialNumber"])

    assert serial() == serial()
    assert serial(files={**FILES, "README.md": "e" * 64}) != serial()


def test_what_it_says_of_the_model() -> None:
    value = json.loads(bom_json(given()))
    model = value["metadata"]["component"]
    assert (model["type"], model["group"], model["name"]) == (
        "machine-learning-model",
        "example",
        "tiny-sentiment-int8",
    )
    assert model["licenses"] == [{"license": {"id": "Apache-2.0"}}]
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "text-classification"
    assert card["modelParameters"]["datasets"] == [{"ref": "dataset"}]
    report = make_report()
    chosen = report.scores_of(report.published()["onnx"].name)
    assert chosen is not None
    accuracy = next(m for m in chosen.metrics if m.name == "accuracy")
    assert {
        "type": "accuracy",
        "value": repr(accuracy.value),
        "slice": "model.onnx, validation",
        "confidenceInterval": {
            "lowerBound": repr(accuracy.interval.low),
            "upperBound": repr(accuracy.interval.high),
        },
    } in card["quantitativeAnalysis"]["performanceMetrics"]
    parts = {part["bom-ref"]: part for part in value["components"]}
    lock = make_lock()
    assert parts["base"]["version"] == lock.base.sha
    assert parts["base"]["purl"] == f"pkg:huggingface/{lock.base.id}@{lock.base.sha}"
    assert parts["dataset"]["version"] == lock.dataset.sha
    assert parts["tool:torch"]["version"] == lock.tools["torch"]
    assert parts["file:model.onnx"]["hashes"] == [{"alg": "SHA-256", "content": "b" * 64}]


def test_what_is_on_an_embedded_hub_has_no_address_of_the_public_one() -> None:
    text = bom_json(given(lock=built_lock()))
    assert "pkg:huggingface" not in text
    assert "/demo/base" not in text


def test_it_agrees_with_what_it_was_made_from() -> None:
    text = bom_json(given())
    assert bom_problems(text, make_lock(), FILES) == ()
    assert renderer_of(text) == "d" * 64


def _set_version(ref: str) -> Callable[[dict[str, Value]], None]:
    def change(value: dict[str, Value]) -> None:
        for part in value["components"]:
            if part["bom-ref"] == ref:
                part["version"] = "0.0.0"

    return change


def _drop(ref: str) -> Callable[[dict[str, Value]], None]:
    def change(value: dict[str, Value]) -> None:
        value["components"] = [p for p in value["components"] if p["bom-ref"] != ref]

    return change


def _twice(value: dict[str, Value]) -> None:
    value["components"].append(value["components"][0])


def _other_recipe(value: dict[str, Value]) -> None:
    value["metadata"]["component"]["properties"] = []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set_version("tool:torch"), "tool torch is 0.0.0, and in lock.json"),
        (_set_version("base"), "its base is example/tiny-sentiment at 0.0.0"),
        (_drop("dataset"), "no component dataset"),
        (_drop("file:README.md"), "file README.md is in SHA256SUMS and not in bom.cdx.json"),
        (_drop("tool:python"), "tool python is in lock.json and not in bom.cdx.json"),
        (_twice, "two components have one bom-ref"),
        (_other_recipe, "its recipe is missing"),
        (lambda value: value.update(bomFormat="SPDX"), "its format is SPDX"),
        (lambda value: value.pop("components"), "no CycloneDX file"),
    ],
)
def test_what_contradicts_is_named(change: Callable[[dict[str, Value]], None], said: str) -> None:
    value = json.loads(bom_json(given()))
    change(value)
    assert said in "; ".join(bom_problems(json.dumps(value), make_lock(), FILES))


def test_files_that_differ_are_named() -> None:
    text = bom_json(given())
    other = {**FILES, "model.onnx": "f" * 64}
    assert "file model.onnx is bbbbbbbbbbbb, and in SHA256SUMS ffffffffffff" in str(
        bom_problems(text, make_lock(), other)
    )
    more = {**FILES, "evil.py": "f" * 64}
    assert "file evil.py is in SHA256SUMS and not" in str(bom_problems(text, make_lock(), more))


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00"])
def test_what_is_no_bill(text: str) -> None:
    assert bom_problems(text, make_lock(), FILES)
    assert renderer_of(text) is None
