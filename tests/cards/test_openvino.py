"""The card with OpenVINO: its row, its gate, how it is loaded, in each language."""

from __future__ import annotations

from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from hubkit.assembling import refuse_unfit
from hubkit.cards.layout import FORMAT_NAMES, MODEL_FILES
from hubkit.cards.plot_canvas import HUES
from hubkit.errors import GateError
from hubkit.i18n import languages, plain
from hubkit.recipe import Gates, Recipe
from hubkit.records import Candidate, Lock, Report, Selection, Variant
from hubkit.stages.card import render_card
from tests.cards.examples import REPO_ID, artifact, make_lock, make_recipe, make_report
from tests.cards.markdown import tables

if TYPE_CHECKING:
    from hubkit.measuring import Measured
    from hubkit.recipe_file import LoadedRecipe

RIVALS = ("slower-than-rival", "less-faithful", "slower-than-rival")
LARGER, SLOWER, TAKEN = "openvino-large", "openvino-slow", "openvino-int8-static"


def _variant(like: Variant, name: str, size: int) -> Variant:
    files = artifact(name, openvino_model__bin=size)
    changes = {"format": "openvino", "name": name, "artifact": files, "size_bytes": size}
    return like.model_copy(update={**changes, "model_file": "openvino_model.xml", "opset": None})


@lru_cache(maxsize=1)
def openvino_report() -> Report:
    """A report in which OpenVINO did as ONNX did; three variants of it stood before the gate."""
    report = make_report()
    like = {
        "openvino-fp32": "onnx-fp32",
        **dict.fromkeys((TAKEN, LARGER, SLOWER), "onnx-int8-static"),
    }
    variants = [
        _variant(
            report.variant(of),
            name,
            91_000_000 if name in ("openvino-fp32", LARGER) else 23_500_000,
        )
        for name, of in like.items()
    ]
    scores = [
        one.model_copy(update={"variant": name})
        for name, of in like.items()
        if (one := report.scores_of(of))
    ]
    assert report.timings
    assert report.selection
    timings = [
        one.model_copy(update={"variant": name})
        for name, of in like.items()
        if (one := report.timing_of(of))
    ]
    judged = report.selection.candidates[1]
    return report.model_copy(
        update={
            "variants": (*report.variants, *variants),
            "scores": (*report.scores, *scores),
            "timings": report.timings.model_copy(
                update={"timings": (*report.timings.timings, *timings)}
            ),
            "openvino_selection": _selection(report.selection, judged),
        }
    )


def _selection(like: Selection, judged: Candidate) -> Selection:
    candidates = (
        judged.model_copy(update={"variant": TAKEN, "passes": True}),
        judged.model_copy(update={"variant": LARGER, "passes": False, "worse": "larger"}),
        judged.model_copy(update={"variant": SLOWER, "passes": False, "worse": "slower"}),
    )
    return like.model_copy(update={"candidates": candidates, "selected": TAKEN})


def _recipe() -> Recipe:
    publication = {"formats": ["onnx", "openvino"], "license": "apache-2.0"}
    return make_recipe(publication=publication)


def _lock() -> Lock:
    lock = make_lock()
    tools = {**lock.tools, "openvino": "2026.4.1", "nncf": "3.4.0", "optimum-intel": "1.27.0"}
    return lock.model_copy(update={"tools": tools})


@lru_cache(maxsize=16)
def card_in(code: str) -> str:
    return render_card(_recipe(), "", _lock(), openvino_report(), REPO_ID, language=code)


def test_the_selected_variant_is_published() -> None:
    published = openvino_report().published()
    assert published["openvino"].name == TAKEN
    assert published.keys() == {"onnx", "openvino", "pytorch"}
    none = openvino_report().model_copy(update={"openvino_selection": None})
    assert "openvino" not in none.published()


def test_the_card_has_its_row_and_its_baseline() -> None:
    rows = [row for table in tables(card_in("en")) for row in table if "OpenVINO" in "".join(row)]
    first = "".join(rows[0])
    assert "**OpenVINO INT8**" in first
    assert "openvino/openvino_model.xml" in first
    assert any("OpenVINO FP32 (baseline)" in "".join(row) for row in rows)


def test_the_card_says_how_to_load_it_with_what_was_measured() -> None:
    text = card_in("en")
    assert "from optimum.intel import OVModelForSequenceClassification\n" in text
    assert '.from_pretrained(repo_id, subfolder="openvino")' in text
    assert '"openvino==2026.4.1"' in text
    tags = text.partition("\n---\n")[0]
    assert "- openvino\n" in tags


@pytest.mark.parametrize("code", languages())
def test_what_is_larger_or_slower_than_fp32_is_said_in_each_language(code: str) -> None:
    text = card_in(code)
    verdicts = {
        name: next(line for line in text.splitlines() if line.startswith(f"| {name} |"))
        .rstrip(" |")
        .rpartition("|")[2]
        .strip()
        for name in (LARGER, SLOWER)
    }
    assert verdicts[LARGER] != verdicts[SLOWER]
    assert all("FP32" in verdict for verdict in verdicts.values())
    english = {LARGER: "fails: larger than FP32", SLOWER: "fails: slower than FP32"}
    assert (verdicts == english) == (code == "en")
    sentence = "A variant that is larger or slower than OpenVINO FP32 does not pass."
    assert (sentence in text) == (code == "en")


@pytest.mark.parametrize("code", languages())
def test_what_the_onnx_model_outdoes_is_not_there_and_the_card_says_why(code: str) -> None:
    report = openvino_report()
    selection = report.openvino_selection
    assert selection
    reasons = dict(zip((TAKEN, LARGER, SLOWER), RIVALS, strict=True))
    candidates = tuple(
        one.model_copy(update={"passes": False, "worse": reasons[one.variant]})
        for one in selection.candidates
    )
    outdone = selection.model_copy(update={"candidates": candidates, "selected": None})
    text = render_card(
        _recipe(),
        "",
        _lock(),
        report.model_copy(update={"openvino_selection": outdone}),
        REPO_ID,
        language=code,
    )
    assert "OVModel" not in text
    assert "openvino/openvino_model.xml" not in text
    said = (
        "The ONNX model outdoes OpenVINO here, so there is no OpenVINO model",
        "fails: slower than the ONNX model",
        "fails: less like FP32 than the ONNX model is",
    )
    assert [sentence in text for sentence in said] == [code == "en"] * 3


def test_what_no_variant_of_passes_is_not_published_unless_onnx_outdoes_it() -> None:
    report = openvino_report()
    selection = report.openvino_selection
    assert selection
    (larger,) = [one for one in selection.candidates if one.variant == LARGER]
    larger = larger.model_copy(update={"reason": "which is larger than openvino-fp32"})

    def refuse(candidate: Candidate) -> None:
        change = {"candidates": (candidate,), "selected": None}
        judged = selection.model_copy(update=change) if selection else None
        assert report.selection
        measured = SimpleNamespace(
            report=report.model_copy(update={"openvino_selection": judged}),
            selection=report.selection,
        )
        loaded = SimpleNamespace(recipe=_recipe())
        refuse_unfit(cast("LoadedRecipe", loaded), cast("Measured", measured))

    with pytest.raises(GateError, match="no OpenVINO variant meets the gate") as caught:
        refuse(larger)
    assert "which is larger than" in caught.value.message
    assert "leave openvino out of publication.formats" in (caught.value.hint or "")
    refuse(larger.model_copy(update={"worse": "slower-than-rival"}))


def test_a_recipe_that_lets_all_pass_does_not_say_that_some_do_not() -> None:
    recipe = _recipe().model_copy(update={"gates": Gates(must_pay=False)})
    text = render_card(recipe, "", _lock(), openvino_report(), REPO_ID)
    assert "larger or slower than" not in text
    assert "larger or slower than ONNX FP32 does not pass" in card_in("en")


@pytest.mark.parametrize("code", languages())
def test_smoothing_is_said_of_the_model_that_was_smoothed(code: str) -> None:
    """And of none where none was: the row is not there."""
    report = openvino_report()
    assert "SmoothQuant" not in card_in(code)
    smoothing: dict[str, float | str] = {TAKEN: 0.95, "onnx-int8-dynamic": "auto"}
    variants = tuple(
        one.model_copy(update={"smoothing": smoothing.get(one.name)}) for one in report.variants
    )
    text = render_card(
        _recipe(),
        "",
        _lock(),
        report.model_copy(update={"variants": variants}),
        REPO_ID,
        language=code,
    )
    (row,) = [line for line in plain(text).splitlines() if line.startswith("| SmoothQuant")]
    _, title, onnx, openvino, _ = row.split("|")
    assert openvino.strip() in ("0.95", "0,95")
    assert (onnx.strip() == "chosen for each tensor") == (code == "en")
    assert "auto" not in onnx
    assert (title.strip() == "SmoothQuant (share that moves into the weights)") == (code == "en")


def test_each_format_has_a_name_a_file_and_a_colour() -> None:
    assert FORMAT_NAMES.keys() == MODEL_FILES.keys() == HUES.keys()
