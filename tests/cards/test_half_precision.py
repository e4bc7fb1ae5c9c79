"""A card of a model in half precision: nowhere is it said to be INT8."""

from __future__ import annotations

import json

import pytest

from hubkit.cards.front_matter import tags_of
from hubkit.i18n import languages
from hubkit.provenance.bom import BomInput, bom_json
from hubkit.records import Format, Report, Variant
from hubkit.stages.card import render_card
from tests.cards.examples import make_lock, make_recipe, make_report

REPO_ID = "example/tiny-half"


def _half(variant: Variant) -> Variant:
    """The selected variant as one in half precision."""
    if variant.name != "onnx-int8-static":
        return variant
    return variant.model_copy(
        update={
            "precision": "fp16",
            "approach": "none",
            "calibration": None,
            "per_channel": None,
            "reduce_range": None,
            "nodes_excluded": {},
        }
    )


def _report() -> Report:
    report = make_report()
    selection = report.selection
    assert selection is not None
    return report.model_copy(
        update={
            "variants": tuple(map(_half, report.variants)),
            "selection": selection.model_copy(update={"selected": "onnx-int8-static"}),
        }
    )


def _card(formats: list[Format], code: str = "en") -> str:
    recipe = make_recipe()
    publication = recipe.publication.model_copy(update={"formats": tuple(formats)})
    recipe = recipe.model_copy(update={"publication": publication})
    return render_card(recipe, "", make_lock(), _report(), REPO_ID, shipped=(), language=code)


@pytest.mark.parametrize("code", languages())
def test_half_precision_alone(code: str) -> None:
    card = _card(["onnx"], code)
    # The example's author calls it so himself.
    ours = card.replace("Tiny sentiment, INT8", "")
    assert not [line for line in ours.splitlines() if "INT8" in line]
    assert "ONNX FP16" in card


def test_what_is_said_instead() -> None:
    card = _card(["onnx"])
    assert "converted to FP16 after training, in ONNX for ONNX Runtime (half precision)." in card
    assert "For FP16 also the predictions that differ from FP32." in card
    assert "FP16 is compared with FP32 of the same format." in card
    assert "half precision needs no activation ranges" in card
    assert "| Precision | FP16 |" in card
    for line in ("Operators quantized", "Nodes quantized", "| Activations |", "run time"):
        assert line not in card
    assert "transformers.js" not in card


def test_beside_int8_of_another_format() -> None:
    card = _card(["onnx", "pytorch"])
    assert "converted to INT8/FP16 after training, in" in card
    assert "Each INT8/FP16 model is compared" in card
    assert "PyTorch INT8" in card


def test_tags() -> None:
    variants = [v for v in _report().variants if v.name == "onnx-int8-static"]
    assert tags_of(tuple(variants), "bert") == ["bert", "fp16", "onnx", "onnxruntime"]
    both = tags_of((*variants, make_report().variants[2]), "bert")
    assert both[:3] == ["bert", "int8", "fp16"]


@pytest.mark.parametrize(
    ("formats", "said"),
    [
        (("onnx",), "converted to FP16"),
        (("onnx", "pytorch"), "quantized to INT8, and converted to FP16"),
        (("pytorch",), "quantized to INT8"),
    ],
)
def test_the_bill_of_materials(formats: tuple[Format, ...], said: str) -> None:
    recipe = make_recipe()
    publication = recipe.publication.model_copy(update={"formats": formats})
    given = BomInput(
        repo_id=REPO_ID,
        recipe=recipe.model_copy(update={"publication": publication}),
        lock=make_lock(),
        report=_report(),
        files={},
        renderer="0" * 64,
    )
    described = json.loads(bom_json(given))["metadata"]["component"]["description"]
    assert described.endswith(f", {said}")
